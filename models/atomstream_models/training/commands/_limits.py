"""How much of a machine a training may take, and with whom it ends."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, NoReturn

import torch

from ...errors import InputError
from ...priority import be_nice, into_background, use_cores

if TYPE_CHECKING:
    import argparse

_ENDED = 128 + signal.SIGTERM
"""Exit code of a command that was told to end."""
_LOOK_EVERY_S = 0.5


def add_limits(parser: argparse.ArgumentParser) -> None:
    """The flags that keep a training small."""
    parser.add_argument("--cores", type=int, metavar="N", help="processors to use at most (all)")
    parser.add_argument("--nice", type=int, metavar="N", help="niceness, 0 to 19 for the least urgent (as started)")
    parser.add_argument("--background", action="store_true", help="run only while nothing else wants the processors")
    parser.add_argument("--end-with", type=int, metavar="PID", help="end when this process, which must be the parent, is gone")


def limit(given: argparse.Namespace) -> None:
    """Keep this process and those it starts to what the flags say.

    Raises
    ------
    InputError
        for numbers that mean nothing.
    """
    if given.cores is not None:
        if given.cores < 1:
            raise InputError(f"--cores {given.cores}: it takes one processor at least")
        use_cores(given.cores)
        torch.set_num_threads(min(given.cores, torch.get_num_threads()))
        given.jobs = min(given.jobs or given.cores, given.cores)
    if given.nice is not None:
        if not 0 <= given.nice <= 19:
            raise InputError(f"--nice {given.nice} is not a niceness from 0 to 19")
        be_nice(given.nice)
    if given.background:
        into_background()
    if given.end_with is not None:
        threading.Thread(target=_end_with, args=(given.end_with,), daemon=True).start()


@contextlib.contextmanager
def ending_when_told() -> Iterator[None]:
    """While the context lasts, SIGTERM ends the members' processes at once, then this one in good order; what is trained stays."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: object) -> NoReturn:
        # A second one ends this process wherever it is.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _kill_children()
        raise SystemExit(_ENDED)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _end_with(parent: int) -> NoReturn:
    """End with all members' processes as soon as the parent is another one. A signal at its death would come with the thread that started us."""
    while os.getppid() == parent:
        time.sleep(_LOOK_EVERY_S)
    _kill_children()
    os._exit(_ENDED)


def _kill_children() -> None:
    for child in multiprocessing.active_children():
        child.kill()
