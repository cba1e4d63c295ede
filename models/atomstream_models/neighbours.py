"""Nearest neighbours: how far apart atoms lie, and whether two finders saw the same ones."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from .compiled import compiled


def nearest_px(positions_yx: NDArray[np.floating] | NDArray[np.integer]) -> NDArray[np.float64]:
    """Distance from each position (N, 2+; y, x first) to its nearest neighbour in pixels, shape (N,); shape (0,) for fewer than two positions."""
    if len(positions_yx) < 2:
        return np.empty(0)
    yx = positions_yx[:, :2]
    distance, _ = cKDTree(yx).query(yx, k=2)
    return np.asarray(distance, np.float64)[:, 1]


def neighbour_px(positions_yx: NDArray[np.floating] | NDArray[np.integer]) -> float:
    """Median distance between nearest neighbours in pixels; NaN for fewer than two positions."""
    distances = nearest_px(positions_yx)
    return float(np.median(distances)) if len(distances) else float("nan")


def mutual_f1(one_yx: NDArray[np.floating], other_yx: NDArray[np.floating], radius_px: float) -> float:
    """F1 between two sets of positions (N, 2; y, x), where a pair is at most `radius_px` apart and each is the other's nearest; 1 where both are empty.

    For positions that lie further apart than twice `radius_px` within each set that is the best one-to-one matching, `metrics.match`, at a hundredth
    of its price.
    """
    total = len(one_yx) + len(other_yx)
    if not total:
        return 1.0
    one, other = _downwards(one_yx), _downwards(other_yx)
    there, back = nearest_within(one, other, radius_px), nearest_within(other, one, radius_px)
    near = np.flatnonzero(there >= 0)
    return 2 * int(np.sum(back[there[near]] == near)) / total


def _downwards(yx: NDArray[np.floating]) -> NDArray[np.float64]:
    y = yx[:, 0]
    in_order = yx if (y[1:] >= y[:-1]).all() else yx[np.argsort(y, kind="stable")]
    return np.ascontiguousarray(in_order, np.float64)


@compiled
def nearest_within(these: NDArray[np.float64], those: NDArray[np.float64], radius_px: float) -> NDArray[np.int64]:
    """For each of these positions the number of the nearest of those, the first of several; -1 where none is within reach. Both are sorted by y."""
    nearest = np.full(len(these), -1, np.int64)
    reach = radius_px**2
    first = 0
    for k in range(len(these)):
        y, x = these[k, 0], these[k, 1]
        while first < len(those) and those[first, 0] < y - radius_px:
            first += 1
        least = math.inf
        other = first
        while other < len(those) and those[other, 0] <= y + radius_px:
            apart = (those[other, 0] - y) ** 2 + (those[other, 1] - x) ** 2
            if apart <= reach and apart < least:
                least = apart
                nearest[k] = other
            other += 1
    return nearest
