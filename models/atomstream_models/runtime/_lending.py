"""Memory of a special kind that arrays borrow."""

from __future__ import annotations

import weakref
from collections import defaultdict, deque
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray


class Lending:
    """Blocks of memory, each lent to one array at a time and back when nobody holds the array, or a view of it, any more.

    Making such memory may take longer than a frame does, so blocks are kept and lent again.

    make : the address of so many bytes
    end : gives them back to the system
    """

    def __init__(self, make: Callable[[int], int], end: Callable[[int], None]) -> None:
        self._make = make
        self._end = end
        # Blocks come back whenever the interpreter tidies up, on any thread, so nothing here takes a lock.
        self._idle: defaultdict[int, deque[int]] = defaultdict(deque)
        self._closed = False

    def array(self, size: int) -> tuple[NDArray[np.uint8], int]:
        """An array of `size` bytes, and its address; what it holds is undefined."""
        try:
            address = self._idle[size].pop()
        except IndexError:
            address = self._make(size)
        block = _Block(address, size)
        weakref.finalize(block, self._back, address, size).atexit = False
        return np.asarray(block), address

    def close(self) -> None:
        """End the blocks that nobody holds; the others end when they come back."""
        self._closed = True
        for idle in self._idle.values():
            while idle:
                self._end(idle.pop())

    def _back(self, address: int, size: int) -> None:
        if self._closed:
            self._end(address)
        else:
            self._idle[size].append(address)


class _Block:
    """What an array says it got its memory from."""

    def __init__(self, address: int, size: int) -> None:
        self.__array_interface__ = {"shape": (size,), "typestr": "|u1", "data": (address, False), "version": 3}
