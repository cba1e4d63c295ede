"""How well found atoms match true ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
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

    As many pairs as possible, of those the set with the smallest summed distance, found exactly: only points
    linked by candidate pairs compete, so each small group is solved by itself.
    """
    none = np.empty(0, np.int64)
    if not len(found_yx) or not len(true_yx):
        return none, none
    near = cKDTree(found_yx).sparse_distance_matrix(cKDTree(true_yx), radius_px, output_type="coo_matrix")
    if not near.nnz:
        return none, none
    n = len(found_yx)
    size = n + len(true_yx)
    _, group = connected_components(coo_matrix((np.ones(near.nnz), (near.row, near.col + n)), shape=(size, size)), directed=False)
    edge_group = group[near.row]
    alone = np.bincount(edge_group, minlength=group.max() + 1)[edge_group] == 1
    rows, columns = [near.row[alone]], [near.col[alone]]
    order = np.argsort(edge_group[~alone], kind="stable")
    row, column, distance = near.row[~alone][order], near.col[~alone][order], near.data[~alone][order]
    for part in np.split(np.arange(len(row)), np.flatnonzero(np.diff(edge_group[~alone][order])) + 1):
        if len(part):
            a, i = np.unique(row[part], return_inverse=True)
            b, j = np.unique(column[part], return_inverse=True)
            # A pair that is too far costs more than all allowed ones together, so it is taken only as a filler.
            cost = np.full((len(a), len(b)), (len(a) + len(b)) * radius_px + 1.0)
            cost[i, j] = distance[part]
            p, q = linear_sum_assignment(cost)
            allowed = cost[p, q] <= radius_px
            rows.append(a[p[allowed]])
            columns.append(b[q[allowed]])
    return np.concatenate(rows).astype(np.int64), np.concatenate(columns).astype(np.int64)


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
