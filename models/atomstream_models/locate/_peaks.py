"""Which pixels are the tops of atoms."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

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
    tops = _one_of_each_plateau(ripples, foreground.shape) if _some_touch(ripples, foreground.shape[1]) else ripples
    depths = _highest_around(depth, tops)
    # Where everything is above threshold there is no edge to measure from, and the depth is infinite.
    radius = float(np.median(np.minimum(depths, _LARGEST_RADIUS_PX))) if len(depths) else 1.0
    reach = max(1, round(_SEPARATION * radius))
    window = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    highest = cv2.dilate(smooth, window).reshape(-1)
    peaks = ripples[level[ripples] >= highest[ripples]]
    return _drop_ties(peaks, level[peaks], reach, foreground.shape), max(radius, 1.0)


def _drop_ties(peaks: NDArray[np.int64], levels: NDArray[Any], reach: int, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Of tops that share a window, which then are exactly level, the last in reading order."""
    _, kind, size = np.unique(levels, return_inverse=True, return_counts=True)
    (tied,) = np.nonzero(size[kind] > 1)
    if not len(tied):
        return peaks
    side = 2 * reach + 1
    # A saturated area is all ties; where tops don't touch and are not many, their pairs are fewer than the frame's pixels.
    if len(tied) * side**2 > 4 * shape[0] * shape[1] or _some_touch(peaks[tied], shape[1]):
        order = np.zeros(shape, np.float64)
        order.reshape(-1)[peaks] = np.arange(1, len(peaks) + 1)
        last = cv2.dilate(order, np.ones((side, side), np.uint8)).reshape(-1)[peaks]
        kept = last == np.arange(1, len(peaks) + 1)
    else:
        together = cKDTree(np.column_stack(np.divmod(peaks[tied], shape[1]))).query_pairs(reach, p=np.inf, output_type="ndarray")
        kept = np.ones(len(peaks), bool)
        kept[tied[together.min(axis=1)]] = False
    out: NDArray[np.int64] = peaks[kept]
    return out


def _some_touch(pixels: NDArray[np.int64], columns: int) -> bool:
    """Whether some of these pixels, flat indices in order, may be neighbours; the ends of two rows count, too."""
    if len(pixels) < 2:
        return False
    for step in (1, columns - 1, columns, columns + 1):
        place = np.searchsorted(pixels, pixels + step)
        if (pixels[np.minimum(place, len(pixels) - 1)] == pixels + step).any():
            return True
    return False


def _highest_around(padded: NDArray[Any], pixels: NDArray[np.int64]) -> NDArray[Any]:
    """The highest value at each pixel and its eight neighbours, of an image that is a pixel larger on every side."""
    row, column = np.divmod(pixels, padded.shape[1] - 2)
    corner = row * padded.shape[1] + column
    steps = (np.arange(3)[:, None] * padded.shape[1] + np.arange(3)).reshape(-1)
    highest: NDArray[Any] = padded.reshape(-1)[corner[:, None] + steps].max(axis=1, initial=0.0)
    return highest


def _one_of_each_plateau(ripples: NDArray[np.int64], shape: tuple[int, ...]) -> NDArray[np.int64]:
    """The first pixel of each flat top, so that a saturated patch weighs no more than an atom does."""
    flat = np.zeros(shape, np.uint8)
    flat.reshape(-1)[ripples] = 1
    _, label = cv2.connectedComponents(flat, connectivity=8)
    _, first = np.unique(label.reshape(-1)[ripples], return_index=True)
    return ripples[first]
