#!/bin/sh
# Make what the other containers need to be let in, unless it is there: keys.sh FOLDER_FOR_KEYS FOLDER_FOR_TOKEN
set -eu
keys=$1 token=$2
# A secret is written to the side first, so that one cut short is never taken for whole.
[ -e "$ATOMSTREAM_STATE/curve/service.json" ] || atomstream keys curve init
if [ ! -s "$keys/microscope.curve.json" ]; then
    atomstream keys curve revoke microscope 2>/dev/null || true
    atomstream keys curve add microscope --out "$keys/microscope.curve.json"
fi
if [ ! -s "$token/prometheus" ]; then
    atomstream keys token revoke prometheus 2>/dev/null || true
    atomstream keys token add prometheus --role viewer > "$token/prometheus.new"
    # Prometheus runs as another user; nothing else is in its volume.
    chmod 0644 "$token/prometheus.new"
    mv "$token/prometheus.new" "$token/prometheus"
fi
