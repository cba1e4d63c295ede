"""Distances between neighbouring atoms, which need no truth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree


def nearest_px(atoms: NDArray[np.floating]) -> NDArray[np.float64]:
    """Distance from each atom (N, 2+; y, x first) to its nearest neighbour in pixels, shape (N,); shape (0,) for fewer than two atoms."""
    if len(atoms) < 2:
        return np.empty(0)
    distance, _ = cKDTree(atoms[:, :2]).query(atoms[:, :2], k=[2])
    return np.asarray(distance, np.float64)[:, 0]
