"""Work that leaves the processors to others."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator


def into_background(pid: int = 0) -> None:
    """Let a process, and what it starts from now on, run only while nothing else wants its processors.

    On Linux the policy SCHED_IDLE at the lowest niceness, which makes reads and writes idle as well; elsewhere the lowest niceness, on Windows
    nothing. Policy and niceness rank processes of one session or control group against each other; between groups the groups' own shares count.

    pid : of the process, 0 for this one

    Raises
    ------
    OSError
        where the process is gone or another user's.
    """
    for thread in _threads(pid):
        with _gone_is_fine(thread, pid):
            if hasattr(os, "sched_setscheduler"):
                os.sched_setscheduler(thread, os.SCHED_IDLE, os.sched_param(0))
            if hasattr(os, "setpriority"):
                os.setpriority(os.PRIO_PROCESS, thread, 19)


def be_nice(niceness: int, pid: int = 0) -> None:
    """Give a process, and what it starts from now on, a niceness of 0 to 19.

    pid : of the process, 0 for this one

    Raises
    ------
    OSError
        where it is lower than it was and the user may not lower it.
    """
    for thread in _threads(pid):
        with _gone_is_fine(thread, pid):
            if hasattr(os, "setpriority"):
                os.setpriority(os.PRIO_PROCESS, thread, niceness)


def stand_back(niceness: int) -> None:
    """Give this thread alone a niceness of at least 0 to 19 for the rest of its life, where the system ranks threads (Linux)."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, max(niceness, os.getpriority(os.PRIO_PROCESS, thread)))


def use_cores(most: int) -> None:
    """Keep this process, and what it starts from now on, to so many of its processors, the last ones, where the system can do that."""
    if hasattr(os, "sched_setaffinity"):
        for thread in _threads(0):
            with _gone_is_fine(thread, 0):
                os.sched_setaffinity(thread, sorted(os.sched_getaffinity(0))[-most:])


def _threads(pid: int) -> list[int]:
    """Of a process; Linux ranks every thread for itself, and those that are there already inherit nothing."""
    try:
        return [int(name) for name in os.listdir(f"/proc/{pid or os.getpid()}/task")]
    except FileNotFoundError:
        return [pid]


@contextlib.contextmanager
def _gone_is_fine(thread: int, pid: int) -> Iterator[None]:
    """A thread may have ended meanwhile; the process may not."""
    try:
        yield
    except ProcessLookupError:
        if thread == (pid or os.getpid()):
            raise
