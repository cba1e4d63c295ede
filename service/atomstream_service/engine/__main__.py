"""An engine process, started by the control plane: `python -m atomstream_service.engine SPEC`.

It ends when its standard input does, so that it never outlives the control plane.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from pathlib import Path

from atomstream_models.bundle import BundleError
from atomstream_models.errors import ExtraMissing
from atomstream_models.runtime import LoadError

from ..errors import AtomstreamError
from ..heap import keep_memory
from ..logs import flush_logs, set_up_logs
from ..orders import CANNOT_START, EngineSpec
from ..signals import leave_ends_to_the_control_plane
from ..transport import CommandServer
from ._engine import Engine
from ._operations import Operations

log = logging.getLogger(__name__)

BUG = 70
"""Exit code after an exception that no thread answered."""


def _end_on_bug(uncaught: threading.ExceptHookArgs) -> None:
    """A dead thread would let frames pile up in silence; a dead process is started again."""
    error = uncaught.exc_value or uncaught.exc_type()
    log.critical("a bug ends the engine: %s", error, exc_info=error)
    flush_logs()
    os._exit(BUG)


def main() -> int:
    leave_ends_to_the_control_plane()
    # The default of 5 ms lets one busy thread hold up a frame's next stage by as much.
    sys.setswitchinterval(0.0005)
    keep_memory()
    spec = EngineSpec.model_validate_json(Path(sys.argv[1]).read_bytes())
    set_up_logs(spec.config.log_format, spec.config.log_level, "engine")
    try:
        engine = Engine(spec)
    except (BundleError, LoadError, ExtraMissing, AtomstreamError) as error:
        log.critical("the engine can't start: %s", error)
        return CANNOT_START
    threading.excepthook = _end_on_bug
    engine.start()
    commands = CommandServer(spec.commands, Operations(engine))
    sys.stdin.buffer.read()
    engine.stop()
    commands.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
