"""Which pixels are the tops of atoms."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

_SMOOTHING_PX = 1.0
_LARGEST_RADIUS_PX = 32.0
_SEPARATION = 0.9
"""Two tops closer than this many atom radii are one atom."""


def find_peaks(foreground: NDArray[np.float32], threshold: float) -> tuple[NDArray[np.int64], float]:
    """Flat indices of the atoms' tops, and the typical radius of an atom in pixels.

    A top is a local maximum of the lightly smoothed foreground over the size of an atom, so that touching atoms
    count apart and the ripples of one broad atom do not. The size is measured on the frame itself: the median
    distance from a local maximum to the edge of its region.

    foreground : ndarray, shape (rows, columns), probability of any atom
    threshold : where an atom begins
    """
    mask = foreground > threshold
    if not mask.any():
        return np.empty(0, np.int64), 0.0
    smooth = cv2.GaussianBlur(foreground, (5, 5), _SMOOTHING_PX, borderType=cv2.BORDER_REFLECT)
    level = smooth.reshape(-1)
    ripples = np.flatnonzero((smooth >= cv2.dilate(smooth, np.ones((3, 3), np.uint8))) & mask)
    depth = cv2.distanceTransform(cv2.copyMakeBorder(mask.view(np.uint8), 1, 1, 1, 1, cv2.BORDER_REPLICATE), cv2.DIST_L2, 5)
    # The top of a flat atom may be found a pixel off its middle, where the depth is greatest.
    tops = ripples if _all_differ(level[ripples]) else _one_of_each_plateau(ripples, foreground.shape)
    depths = cv2.dilate(depth, np.ones((3, 3), np.uint8))[1:-1, 1:-1].reshape(-1)[tops]
    # Where everything is above threshold there is no edge to measure from, and the depth is infinite.
    radius = float(np.median(np.minimum(depths, _LARGEST_RADIUS_PX))) if len(depths) else 1.0
    reach = max(1, round(_SEPARATION * radius))
    window = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    highest = cv2.dilate(smooth, window).reshape(-1)
    peaks = ripples[level[ripples] >= highest[ripples]]
    return _drop_ties(peaks, level[peaks], window, foreground.shape), max(radius, 1.0)


def _drop_ties(peaks: NDArray[np.int64], levels: NDArray[Any], window: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.int64]:
    """One top of each group that shares a window at exactly the same level: the last in reading order."""
    if _all_differ(levels):
        return peaks
    order = np.zeros(shape, np.float64)
    order.reshape(-1)[peaks] = np.arange(1, len(peaks) + 1)
    last = cv2.dilate(order, window).reshape(-1)[peaks]
    kept: NDArray[np.int64] = peaks[last == np.arange(1, len(peaks) + 1)]
    return kept


def _all_differ(levels: NDArray[Any]) -> bool:
    return len(np.unique(levels)) == len(levels)


def _one_of_each_plateau(ripples: NDArray[np.int64], shape: tuple[int, ...]) -> NDArray[np.int64]:
    """The first pixel of each flat top, so that a saturated patch weighs no more than an atom does."""
    flat = np.zeros(shape, np.uint8)
    flat.reshape(-1)[ripples] = 1
    _, label = cv2.connectedComponents(flat, connectivity=8)
    _, first = np.unique(label.reshape(-1)[ripples], return_index=True)
    return ripples[first]
