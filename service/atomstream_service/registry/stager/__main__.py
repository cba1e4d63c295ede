"""A stager process, started by the control plane: `python -m atomstream_service.registry.stager SPEC`.

It ends when its standard input does, so that it never outlives the control plane.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from ...logs import flush_logs, set_up_logs
from ._confine import confine
from ._opening import Opening
from ._progress import DiskFull, Progress
from ._spec import NO_ROOM, StagerSpec


def _end_with_parent() -> None:
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


def main() -> int:
    spec = StagerSpec.model_validate_json(Path(sys.argv[1]).read_bytes())
    # As JSON whatever the service's own log is like: whoever started this reads it, and writes it into that.
    set_up_logs("json", "info", "stager")
    notes = confine(spec.limits)
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    try:
        Progress(spec.report, notes).make(Opening(spec).steps())
    except DiskFull:
        return NO_ROOM
    return 0


if __name__ == "__main__":
    code = main()
    flush_logs()
    # Not through the interpreter's end, where a runtime may hang in its own threads.
    os._exit(code)
