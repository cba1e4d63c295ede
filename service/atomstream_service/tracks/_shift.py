"""How far the whole specimen has moved between two frames."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter
from scipy.spatial import cKDTree

_REACH = 1.5
_BIN = 0.1
_AGREE = 0.35
"""Distances as shares of the distance between neighbours: how far a shift is looked for, in which steps, and how near a pair must lie to agree."""
_FEWEST = 4
_SHARE = 0.3
_FAR_COSTS = 0.2
_CANDIDATES = 3
_STEPS = 3


def common_shift(before: NDArray[np.float64], after: NDArray[np.float64], neighbour: float) -> NDArray[np.float64]:
    """The displacement (2,) that most pairs of positions agree on, in the positions' unit; zero where too few agree.

    before, after : positions of atoms, shape (N, 2) and (M, 2)
    neighbour : distance between neighbours, the scale of everything here

    Every pair within 1.5 times that distance votes for its displacement. Where two displacements get nearly the same votes the smaller one
    wins: a perfect lattice that moves by more than half a neighbour distance looks the same as one that moves by less the other way, and only
    edges and defects can tell. At least four pairs and 30 % of the smaller set have to agree: the motion of a few atoms is theirs, not the stage's.
    """
    none = np.zeros(2)
    if min(len(before), len(after)) < _FEWEST:
        return none
    reach = _REACH * neighbour
    pairs = cKDTree(before).sparse_distance_matrix(cKDTree(after), reach, output_type="coo_matrix")
    if not pairs.nnz:
        return none
    moves = after[pairs.col] - before[pairs.row]
    found = [_settled(moves, peak, _AGREE * neighbour) for peak in _peaks(moves, reach)]
    worth = [count * (1 - _FAR_COSTS * np.hypot(*shift) / reach) for shift, count in found]
    shift, count = found[int(np.argmax(worth))]
    return shift if count >= max(_FEWEST, _SHARE * min(len(before), len(after))) else none


def _peaks(moves: NDArray[np.float64], reach: float) -> list[NDArray[np.float64]]:
    """Where most displacements (N, 2) crowd, roughly, the densest place first."""
    bins = 2 * round(_REACH / _BIN) + 1
    votes, edges, _ = np.histogram2d(moves[:, 0], moves[:, 1], bins=bins, range=[(-reach, reach)] * 2)
    votes = uniform_filter(votes, 3, mode="constant")
    middle = (edges[1:] + edges[:-1]) / 2
    around = round(_AGREE / _BIN)
    peaks = []
    for _ in range(_CANDIDATES):
        row, column = np.unravel_index(np.argmax(votes), votes.shape)
        peaks.append(np.array([middle[row], middle[column]]))
        votes[max(row - around, 0) : row + around + 1, max(column - around, 0) : column + around + 1] = 0
    return peaks


def _settled(moves: NDArray[np.float64], shift: NDArray[np.float64], radius: float) -> tuple[NDArray[np.float64], int]:
    """The mean of the displacements within `radius` of itself, from a first guess on, and how many they are."""
    count = 0
    moves = moves[(np.abs(moves[:, 0] - shift[0]) < 2 * radius) & (np.abs(moves[:, 1] - shift[1]) < 2 * radius)]
    for _ in range(_STEPS):
        agree = moves[np.hypot(moves[:, 0] - shift[0], moves[:, 1] - shift[1]) <= radius]
        if (count := len(agree)) == 0:
            break
        shift = agree.mean(axis=0)
    return shift, count
