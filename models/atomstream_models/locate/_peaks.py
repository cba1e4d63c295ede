"""Which pixels are the tops of atoms."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ..compiled import compiled, plain
from ..each import Each
from ._depths import depths
from ._maxima import firsts_of_plateaus, maxima
from ._parts import in_parts

_LARGEST_RADIUS_PX = 32
_SEPARATION = 0.9
"""Two tops closer than this many atom radii are one atom."""
_PIXELS = 1 << 15
"""Pixels that one processor smooths at a time: few enough to stay in its cache."""
_SHARE = 4096
"""Maxima that one processor compares with their surroundings at a time."""
_LOOKS_PER_PIXEL = 8
"""Where comparing every maximum with its surroundings might take more looks than this, a filter over the whole frame is faster."""
_LOWER, _HIGHEST, _PERHAPS_TIED = 0, 1, 2


def find_peaks(foreground: NDArray[np.float32], threshold: float, each: Each = map) -> tuple[NDArray[np.int64], float]:
    """Flat indices of the atoms' tops, in order, and the typical radius of an atom in pixels.

    A top is a local maximum of the lightly smoothed foreground over the size of an atom, so that touching atoms
    count apart and the ripples of one broad atom do not; of tops that are exactly level within a window, the last one. The size is
    measured on the frame itself: the median distance from a local maximum to the edge of its region.

    foreground : ndarray, shape (rows, columns), probability of any atom
    threshold : where an atom begins
    each : how to go through shares of the work
    """
    foreground = plain(foreground)
    rows, columns = foreground.shape
    smooth = np.empty_like(foreground)
    level = np.float32(threshold)
    strips = in_parts(lambda first, end: maxima(foreground, level, smooth, first, end), rows, max(1, _PIXELS // columns), each)
    ripples = np.concatenate(strips)
    if not len(ripples):
        return ripples, 1.0 if (foreground > level).any() else 0.0
    found = depths(foreground, threshold, firsts_of_plateaus(ripples, columns), _LARGEST_RADIUS_PX, each)
    radius = float(np.median(found))
    reach = max(1, round(_SEPARATION * radius))
    return _highest_in_window(smooth, ripples, reach, each), max(radius, 1.0)


def _highest_in_window(smooth: NDArray[np.float32], ripples: NDArray[np.int64], reach: int, each: Each) -> NDArray[np.int64]:
    """Those local maxima that are highest within `reach` along rows and columns."""
    side = 2 * reach + 1
    if len(ripples) * side**2 > _LOOKS_PER_PIXEL * smooth.size:
        highest = cv2.dilate(smooth, np.ones((side, side), np.uint8)).reshape(-1)
        standing = np.where(smooth.reshape(-1)[ripples] >= highest[ripples], _PERHAPS_TIED, _LOWER).astype(np.int8)
    else:
        standing = np.empty(len(ripples), np.int8)
        in_parts(lambda first, end: compare(smooth, ripples, reach, first, end, standing), len(ripples), _SHARE, each)
    kept = standing != _LOWER
    peaks = ripples[kept]
    highest_only: NDArray[np.int64] = peaks[last_of_level(peaks, standing[kept] == _PERHAPS_TIED, reach, smooth.shape[0], smooth.shape[1])]
    return highest_only


@compiled
def compare(smooth: NDArray[np.float32], ripples: NDArray[np.int64], reach: int, first: int, end: int, standing: NDArray[np.int8]) -> None:
    """How some of the local maxima stand in their windows."""
    rows, columns = smooth.shape
    for k in range(first, end):
        y, x = ripples[k] // columns, ripples[k] % columns
        left, right = max(x - reach, 0), min(x + reach, columns - 1)
        level = smooth[y, x]
        standing[k] = _HIGHEST
        for v in range(max(y - reach, 0), min(y + reach, rows - 1) + 1):
            highest = np.float32(-np.inf)
            for u in range(x + 1 if v == y else left, right + 1):
                highest = max(smooth[v, u], highest)
            if highest == level and v >= y:
                standing[k] = _PERHAPS_TIED
            if v == y:
                for u in range(left, x):
                    highest = max(smooth[v, u], highest)
            if highest > level:
                standing[k] = _LOWER
                break


@compiled
def last_of_level(peaks: NDArray[np.int64], perhaps_tied: NDArray[np.bool_], reach: int, rows: int, columns: int) -> NDArray[np.bool_]:
    """Of tops that share a window, which then are exactly level, the last in reading order."""
    kept = np.ones(len(peaks), np.bool_)
    for k in range(len(peaks)):
        if perhaps_tied[k]:
            y, x = peaks[k] // columns, peaks[k] % columns
            right = min(x + reach, columns - 1)
            other = k + 1
            for v in range(y, min(y + reach, rows - 1) + 1):
                if v > y:
                    other = np.searchsorted(peaks, v * columns + max(x - reach, 0))
                if other < len(peaks) and peaks[other] <= v * columns + right:
                    kept[k] = False
                    break
    return kept
