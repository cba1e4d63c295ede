"""A process puts itself under limits."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from ._spec import StagerLimits

if sys.platform != "win32":
    import resource

_LOWEST_PRIORITY = 10
_LAST_WORDS_S = 5
"""Seconds between the signal that a limit sends and the kill."""
_OOM_FIRST = "1000"


def confine(limits: StagerLimits) -> list[str]:
    """Limit this process and lower its priority; returns a sentence for each limit that this system does not have.

    The limit on memory is one on data (`RLIMIT_DATA`), which ONNX Runtime answers with an error; the address space can't be limited,
    because CUDA reserves far more of it than it uses. The alarm ends the process even where nobody is left to do it.
    """
    if sys.platform == "win32":
        return ["Windows has no limits on a process's memory and processor time; the time limit holds"]
    os.nice(_LOWEST_PRIORITY)
    signal.setitimer(signal.ITIMER_REAL, limits.wall_s)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_CPU, limits.cpu_s, _LAST_WORDS_S)
    _limit(resource.RLIMIT_FSIZE, limits.bundle.file_bytes)
    if limits.memory_bytes is not None:
        _limit(resource.RLIMIT_DATA, limits.memory_bytes)
    if sys.platform == "linux":
        # When the machine runs out of memory, this process shall be ended, not the engine.
        with suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text(_OOM_FIRST, encoding="ascii")
        return []
    return [f"{sys.platform} does not hold a process to a limit on its memory"]


def _limit(what: int, value: int, slack: int = 0) -> None:
    """Lower a limit; one that is lower already stays."""
    _, hard = resource.getrlimit(what)
    highest = value + slack if hard == resource.RLIM_INFINITY else min(value + slack, hard)
    resource.setrlimit(what, (min(value, highest), highest))
