#!/bin/sh
# Make what the other containers need to be let in, unless it is there: keys.sh FOLDER_FOR_KEYS FOLDER_FOR_TOKEN
set -eu
key=$1/microscope.curve.json token=$2/prometheus

# A new state knows nothing of what an older one has left in the other volumes.
[ -e "$ATOMSTREAM_STATE/curve/service.json" ] || { rm -f "$key" "$token"; atomstream keys curve init; }

# Where the service knows a name whose secret was lost, it is let in anew.
if [ ! -s "$key" ]; then
    atomstream keys curve add microscope --out "$key" 2>/dev/null \
    || { atomstream keys curve revoke microscope && atomstream keys curve add microscope --out "$key"; }
fi
if [ ! -s "$token" ]; then
    # Written to the side first, so that a token cut short is never taken for whole.
    atomstream keys token add prometheus --role viewer > "$token.new" 2>/dev/null \
    || { atomstream keys token revoke prometheus && atomstream keys token add prometheus --role viewer > "$token.new"; }
    # Prometheus runs as another user; nothing else is in its volume.
    chmod 0644 "$token.new"
    mv "$token.new" "$token"
fi
