"""A process that makes networks ready for a device, one after the other: `python -m atomstream_models.runtime._compile`.

Its work comes as a line of JSON on standard input; it ends when that does, so that it never outlives whoever wants the result.
"""

from __future__ import annotations

import contextlib
import json
import os
import pkgutil
import sys
import threading
from pathlib import Path

from ..priority import be_nice
from ._static import static_member

_NICENESS = 19
"""The stream comes first."""


def main() -> int:
    work = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_input, daemon=True).start()
    with contextlib.suppress(OSError):
        be_nice(_NICENESS)
    compile_network = pkgutil.resolve_name(work["compile"])
    rows, columns = work["shape"]
    for one in work["networks"]:
        file, place = Path(one["file"]), Path(one["place"])
        # Only what is whole gets a name that is looked for.
        unfinished = Path.cwd() / place.name
        try:
            compile_network(static_member(file, (rows, columns), half=False, simpler=False), unfinished, work["options"])
            os.replace(unfinished, place)
        except Exception as error:  # runtimes raise types of their own that share no documented base
            print(f"{file.name}: {type(error).__name__}: {error}".replace("\n", " "), file=sys.stderr)
            return 1
    return 0


def _end_with_input() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    raise SystemExit(main())
