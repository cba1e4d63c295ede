"""Nearest neighbours: how far apart atoms lie, and whether two finders saw the same ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree


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


def mutual_f1(one: cKDTree, other: cKDTree, radius_px: float) -> float:
    """F1 between two sets of positions, where a pair is at most `radius_px` apart and each is the other's nearest; 1 where both are empty.

    For positions that lie further apart than twice `radius_px` within each set that is the best one-to-one matching, `metrics.match`, at a fifth
    of its price. It takes trees because each of many members is compared with all others.
    """
    total = one.n + other.n
    return 2 * _mutual(one, other, radius_px) / total if total else 1.0


def _mutual(one: cKDTree, other: cKDTree, radius_px: float) -> int:
    if not one.n or not other.n:
        return 0
    # The tree's bound is exclusive.
    bound = np.nextafter(radius_px, np.inf)
    there = np.asarray(other.query(one.data, distance_upper_bound=bound)[1])
    back = np.asarray(one.query(other.data, distance_upper_bound=bound)[1])
    near = np.flatnonzero(there < other.n)
    return int(np.sum(back[there[near]] == near))
