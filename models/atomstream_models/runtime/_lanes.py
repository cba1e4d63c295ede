"""Threads that each work on a stream of a device."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from ._accelerator import Accelerator

_P = ParamSpec("_P")
_R = TypeVar("_R")


class Lanes:
    """A thread for each of a device's streams.

    What ONNX Runtime has captured of a session belongs to the thread that captured it, so a session is made and run by one and the same.
    """

    def __init__(self, device: Accelerator) -> None:
        self._threads = [
            ThreadPoolExecutor(1, thread_name_prefix=f"{device.kind} {device.index}, stream {stream}", initializer=device.enter)
            for stream in range(device.streams)
        ]

    def __len__(self) -> int:
        return len(self._threads)

    def do(self, lane: int, call: Callable[_P, _R], *arguments: _P.args, **named: _P.kwargs) -> Future[_R]:
        """Have something done by a lane's thread, after what it was told before."""
        return self._threads[lane].submit(call, *arguments, **named)

    def close(self) -> None:
        """End the threads, once they have done what they were told."""
        for thread in self._threads:
            thread.shutdown()
