"""Every pixel that is no lower than its neighbours."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..compiled import compiled

_SUM = 1 + 2 * math.exp(-1 / 2) + 2 * math.exp(-4 / 2)
_MIDDLE, _NEXT, _OUTER = (np.float32(math.exp(-(k**2) / 2) / _SUM) for k in range(3))
"""A Gaussian of one pixel's standard deviation."""


@compiled
def maxima(foreground: NDArray[np.float32], threshold: np.float32, smooth: NDArray[np.float32], first_row: int, end_row: int) -> NDArray[np.int64]:
    """Flat indices of the pixels of some rows that are above threshold, and in the smoothed foreground no lower than their eight neighbours.

    smooth : ndarray, as `foreground`, where the smoothed rows go, and a row more on either side
    """
    rows, columns = foreground.shape
    column_sums = np.empty(columns + 4, np.float32)
    for y in range(max(first_row - 1, 0), min(end_row + 1, rows)):
        _smooth(foreground, y, column_sums, smooth[y])
    highest = np.full(columns + 2, -np.inf, np.float32)
    is_top = np.zeros(-(-columns // 8) * 8, np.uint8)
    eight = is_top.view(np.uint64)
    found = np.empty(columns + 64, np.int64)
    n = 0
    for y in range(first_row, end_row):
        _mark(foreground[y], threshold, smooth[max(y - 1, 0)], smooth[y], smooth[min(y + 1, rows - 1)], highest, is_top)
        if n + columns > len(found):
            longer = np.empty(2 * len(found) + columns, np.int64)
            longer[:n] = found[:n]
            found = longer
        for word in range(len(eight)):
            if eight[word]:
                for x in range(8 * word, 8 * word + 8):
                    if is_top[x]:
                        found[n] = y * columns + x
                        n += 1
    return found[:n].copy()


@compiled
def _smooth(foreground: NDArray[np.float32], y: int, column_sums: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """One row of the foreground, smoothed; its border is a mirror."""
    rows, columns = foreground.shape
    above, top = foreground[_mirrored(y - 1, rows)], foreground[_mirrored(y - 2, rows)]
    below, bottom = foreground[_mirrored(y + 1, rows)], foreground[_mirrored(y + 2, rows)]
    here = foreground[y]
    for x in range(columns):
        column_sums[x + 2] = _MIDDLE * here[x] + _NEXT * (above[x] + below[x]) + _OUTER * (top[x] + bottom[x])
    for k in (-2, -1, columns, columns + 1):
        column_sums[k + 2] = column_sums[_mirrored(k, columns) + 2]
    for x in range(columns):
        out[x] = _MIDDLE * column_sums[x + 2] + _NEXT * (column_sums[x + 1] + column_sums[x + 3]) + _OUTER * (column_sums[x] + column_sums[x + 4])


@compiled
def _mirrored(k: int, n: int) -> int:
    while k < 0 or k >= n:
        k = -k - 1 if k < 0 else 2 * n - 1 - k
    return k


@compiled
def _mark(
    foreground: NDArray[np.float32],
    threshold: np.float32,
    above: NDArray[np.float32],
    here: NDArray[np.float32],
    below: NDArray[np.float32],
    highest: NDArray[np.float32],
    is_top: NDArray[np.uint8],
) -> None:
    """Where a row has tops: loops without branches, which become vector instructions."""
    columns = len(here)
    for x in range(columns):
        outer = max(above[x], below[x])
        highest[x + 1] = max(here[x], outer)
    for x in range(columns):
        beside = max(highest[x], highest[x + 2])
        is_top[x] = (here[x] >= max(highest[x + 1], beside)) & (foreground[x] > threshold)


@compiled
def firsts_of_plateaus(tops: NDArray[np.int64], columns: int) -> NDArray[np.int64]:
    """The first pixel of each flat top, so that a saturated patch weighs no more than an atom does.

    tops : ndarray, flat indices in order; those that touch, also at a corner, are one top
    """
    n = len(tops)
    parent = np.arange(n)
    above = 0
    for k in range(n):
        pixel = tops[k]
        left, right = pixel % columns > 0, pixel % columns < columns - 1
        if left and k > 0 and tops[k - 1] == pixel - 1:
            _join(parent, k - 1, k)
        while tops[above] < pixel - columns - left:
            above += 1
        other = above
        while tops[other] <= pixel - columns + right:
            _join(parent, other, k)
            other += 1
    firsts: NDArray[np.int64] = tops[parent == np.arange(n)]
    return firsts


@compiled
def _join(parent: NDArray[np.int64], one: int, other: int) -> None:
    one, other = _root(parent, one), _root(parent, other)
    parent[max(one, other)] = min(one, other)


@compiled
def _root(parent: NDArray[np.int64], k: int) -> int:
    while parent[k] != k:
        parent[k] = parent[parent[k]]
        k = parent[k]
    return k
