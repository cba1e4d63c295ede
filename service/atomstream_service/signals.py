"""Signals by which somebody ends the service: an interrupt, a stop, the end of the terminal that it runs in."""

from __future__ import annotations

import signal
import sys
from types import FrameType

ENDS: tuple[signal.Signals, ...] = (signal.SIGINT, signal.SIGTERM)
if sys.platform != "win32":
    ENDS = (*ENDS, signal.SIGHUP)


def leave_ends_to_the_control_plane() -> None:
    """For a process that the control plane ends: what reaches the whole group of processes, as from a terminal, reaches it too and must not end it first."""
    for one in ENDS:
        signal.signal(one, signal.SIG_IGN)


def end_with_the_terminal() -> None:
    """Have the end of the terminal count as a stop, unless it is ignored already, as `nohup` has it."""
    if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _stop)


def _stop(number: int, frame: FrameType | None) -> None:
    signal.raise_signal(signal.SIGTERM)
