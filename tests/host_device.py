from __future__ import annotations

import ctypes
import math
import time
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray


class HostDevice:
    """The processor's own memory in the place of a GPU's: the code that runs members on a GPU goes through the same steps.

    allocated : the memory that is out, by its address
    """

    provider = "CPUExecutionProvider"
    kind = "cpu"

    def __init__(self, index: int = 0) -> None:
        self.index = index
        self.allocated: dict[int, NDArray[np.uint8]] = {}
        self.closed = False
        self._marks: list[float] = []

    def providers(self, *, graphs: bool, channels_last: bool) -> list[Any]:
        return [self.provider]

    def allocate(self, size: int) -> int:
        memory = np.zeros(size + 64, np.uint8)
        address = -(-memory.ctypes.data // 64) * 64
        self.allocated[address] = memory
        return address

    def free(self, address: int) -> None:
        del self.allocated[address]

    def put(self, address: int, array: NDArray[Any]) -> None:
        array = np.ascontiguousarray(array)
        ctypes.memmove(address, array.ctypes.data, array.nbytes)

    def fetch(self, address: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
        out = np.empty(shape, np.float32)
        ctypes.memmove(out.ctypes.data, address, 4 * math.prod(shape))
        return out

    def mark(self) -> None:
        self._marks.append(time.perf_counter())

    def wait(self) -> list[float]:
        marks, self._marks = self._marks, []
        return [1000 * (end - begin) for begin, end in pairwise(marks)]

    def close(self) -> None:
        self.closed = True
