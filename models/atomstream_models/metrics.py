"""How well found atoms match true ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching
from scipy.spatial import cKDTree


@dataclass(frozen=True)
class Score:
    """Detection and localisation against a truth.

    found, missed, extra : true positives, false negatives, false positives
    rmse_px : root mean square distance of the matched pairs in pixels, NaN without a pair
    """

    found: int
    missed: int
    extra: int
    rmse_px: float

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 1 where there was nothing to find and nothing was found."""
        total = 2 * self.found + self.missed + self.extra
        return 2 * self.found / total if total else 1.0


def match(found_yx: NDArray[np.floating], true_yx: NDArray[np.floating], radius_px: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices (into found, into true) of one-to-one pairs at most `radius_px` apart.

    As many pairs as possible, of those the set with the smallest summed distance, found exactly.
    """
    none = np.empty(0, np.int64)
    if not len(found_yx) or not len(true_yx):
        return none, none
    near = cKDTree(found_yx).sparse_distance_matrix(cKDTree(true_yx), radius_px, output_type="coo_matrix")
    alone = (np.bincount(near.row, minlength=len(found_yx))[near.row] == 1) & (np.bincount(near.col, minlength=len(true_yx))[near.col] == 1)
    i, j = _assign(near.row[~alone], near.col[~alone], near.data[~alone], radius_px)
    return np.concatenate([near.row[alone], i]).astype(np.int64), np.concatenate([near.col[alone], j]).astype(np.int64)


def _assign(row: NDArray[np.int64], column: NDArray[np.int64], distance: NDArray[np.float64], radius_px: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The best one-to-one choice among candidate pairs, as sparse as they are, however many points they link.

    Every point also gets a stand-in of the other side to pair with, which costs more than all allowed pairs together, so that it is
    only taken where nothing else is left; the stand-ins of a pair that is taken pair up for nothing.
    """
    if not len(row):
        return row, column
    rows, i = np.unique(row, return_inverse=True)
    columns, j = np.unique(column, return_inverse=True)
    n, m = len(rows), len(columns)
    apart = (n + m) * radius_px + 1.0
    edges = [
        (i, j, distance + 1.0),
        (np.arange(n), m + np.arange(n), np.full(n, apart + 1.0)),
        (n + np.arange(m), np.arange(m), np.full(m, apart + 1.0)),
        (n + j, m + i, np.ones(len(i))),
    ]
    # The solver takes an explicit 0 for no edge, hence the 1 that every edge costs.
    a, b, cost = (np.concatenate(parts) for parts in zip(*edges, strict=True))
    p, q = min_weight_full_bipartite_matching(csr_array((cost, (a, b)), shape=(n + m, n + m)))
    real = (p < n) & (q < m)
    return rows[p[real]], columns[q[real]]


def score(found_yx: NDArray[np.floating], true_yx: NDArray[np.floating], radius_px: float, required: NDArray[np.bool_] | None = None) -> Score:
    """Score of found against true positions, both (N, 2) in pixels.

    required : which true atoms must be found; the others (outside the frame, unlabelled) neither count when missed
        nor make what is found there an extra
    """
    needed = np.ones(len(true_yx), bool) if required is None else required
    i, j = match(found_yx, true_yx[needed], radius_px)
    distance = np.linalg.norm(found_yx[i] - true_yx[needed][j], axis=1)
    left = np.delete(found_yx, i, axis=0)
    excused, _ = match(left, true_yx[~needed], radius_px)
    rmse = float(np.sqrt(np.mean(distance**2))) if len(i) else float("nan")
    return Score(len(i), int(needed.sum()) - len(i), len(left) - len(excused), rmse)
