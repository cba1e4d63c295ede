from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

_MOST_BYTES = 64 << 20


class Blocks:
    """Frames that lie in a file in blocks of several, read a block at a time, so that none is unpacked once for each of its frames.

    read : (first, one past last) -> frames
    count, frame_bytes : how many there are, and how large one is
    together : how many lie in a block; of larger blocks, as many frames as fit into 64 MiB are read at once
    """

    def __init__(self, read: Callable[[int, int], NDArray[Any]], count: int, frame_bytes: int, together: int) -> None:
        self._read = read
        self._count = count
        self._together = max(1, min(together, _MOST_BYTES // max(1, frame_bytes)))
        self._first = -1
        self._held: NDArray[Any] | None = None

    def __call__(self, number: int) -> NDArray[Any]:
        first = number - number % self._together
        if self._held is None or first != self._first:
            self._held = None  # before the next one is there, so that never two are
            self._held, self._first = self._read(first, min(first + self._together, self._count)), first
        frame: NDArray[Any] = self._held[number - first]
        return frame
