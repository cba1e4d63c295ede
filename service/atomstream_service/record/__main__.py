"""A recorder process, started by the control plane: `python -m atomstream_service.record SPEC`.

It ends when its standard input does, so that it never outlives the control plane, and says how it is doing in lines of JSON on its standard output.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from contextlib import suppress
from pathlib import Path

from ..logs import flush_logs, set_up_logs
from ..signals import leave_ends_to_the_control_plane
from ..transport import AddressUnusable
from ._errors import RecordingFailed, RecordingRefused
from ._recorder import Recorder
from ._spec import CANNOT_RECORD, RecorderReport, RecorderSpec

log = logging.getLogger(__name__)

BUG = 70
"""Exit code after an exception that nobody answered, as the engine's."""


def _say(report: RecorderReport) -> None:
    # Whoever started this may have ended; the recording is finished all the same.
    with suppress(BrokenPipeError):
        print(report.model_dump_json(), flush=True)


def _wait_for_end(ended: threading.Event) -> None:
    # Not through `sys.stdin`, whose lock a thread that waits would hold when a recording that has reached its limit ends the process.
    os.read(sys.stdin.fileno(), 1)
    ended.set()


def main() -> int:
    leave_ends_to_the_control_plane()
    spec = RecorderSpec.model_validate_json(Path(sys.argv[1]).read_bytes())
    set_up_logs(spec.log_format, spec.log_level, "recorder")
    ended = threading.Event()
    try:
        recorder = Recorder(spec, ended, _say)
    except (AddressUnusable, RecordingFailed, RecordingRefused) as error:
        _say(RecorderReport(state="failed", error=str(error)))
        return CANNOT_RECORD
    threading.Thread(target=_wait_for_end, args=(ended,), daemon=True).start()
    try:
        whole = recorder.run()
    except Exception as error:
        log.critical("a bug ends the recording of %s: %s", spec.title, error, exc_info=error)
        return BUG
    if whole:
        return 0
    # HDF5 would try to write once more when it is closed, and what it left behind is whole as it is.
    flush_logs()
    os._exit(CANNOT_RECORD)


if __name__ == "__main__":
    raise SystemExit(main())
