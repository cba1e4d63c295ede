"""Medians over the members, all members and all but one, from one sort."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

Maps = NDArray[np.float32]

_BLOCK = 1 << 14
"""Pixels handled at a time, so that a block of every member stays in the processor's cache."""


class Middle:
    """The middle of some equally shaped maps, pixel by pixel.

    maps : at least two ndarrays of one shape
    """

    def __init__(self, maps: Sequence[Maps]) -> None:
        half = len(maps) // 2
        self._even = len(maps) % 2 == 0
        self._below, self._at, *above = _ranked(maps, half - 1, half + 1 if self._even else half + 2)
        self._above = self._at if self._even else above[0]

    def of_all(self) -> Maps:
        """The median of all maps."""
        return _mean(self._below, self._at) if self._even else self._at

    def without(self, one: Maps) -> Maps:
        """The median of all maps but `one`, which must be among them.

        Only the map's place relative to the middle counts: take one away below it, and the middle moves up.
        """
        if self._even:
            return np.where(one <= self._below, self._at, self._below)
        return _mean(np.where(one < self._at, self._at, self._below), np.where(one > self._at, self._at, self._above))


def _mean(a: Maps, b: Maps) -> Maps:
    out: Maps = (a + b) * np.float32(0.5)
    return out


def _ranked(maps: Sequence[Maps], first: int, last: int) -> list[Maps]:
    """The order statistics from `first` up to, but not with, `last`, 0 being the smallest.

    A sorting network compares whole blocks of pixels at a time, which measured many times as fast as a sort along the members.
    """
    flat = [np.ascontiguousarray(one).reshape(-1) for one in maps]
    out = [np.empty_like(flat[0]) for _ in range(first, last)]
    spare = np.empty(min(_BLOCK, flat[0].size), np.float32)
    for start in range(0, flat[0].size, _BLOCK):
        part = slice(start, start + _BLOCK)
        block = [one[part].copy() for one in flat]
        low = spare[: block[0].size]
        for i, j in _network(len(block)):
            np.minimum(block[i], block[j], out=low)
            np.maximum(block[i], block[j], out=block[j])
            block[i], low = low, block[i]
        spare = low if low.size == spare.size else np.empty_like(spare)
        for one, values in zip(out, block[first:last], strict=True):
            one[part] = values
    return [one.reshape(maps[0].shape) for one in out]


@cache
def _network(n: int) -> tuple[tuple[int, int], ...]:
    """Comparisons that sort n values: odd-even merging (Batcher 1968, doi 10.1145/1468075.1468121)."""
    return tuple(_batcher(n))


def _batcher(n: int) -> Iterator[tuple[int, int]]:
    p = 1
    while p < n:
        k = p
        while k >= 1:
            for j in range(k % p, n - k, 2 * k):
                for i in range(min(k, n - j - k)):
                    if (i + j) // (2 * p) == (i + j + k) // (2 * p):
                        yield i + j, i + j + k
            k //= 2
        p *= 2
