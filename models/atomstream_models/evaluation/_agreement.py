"""Whether the members of an ensemble see the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..neighbours import mutual_f1


@dataclass(frozen=True)
class Agreement:
    """How the members' answers to a frame, or to several on average, resemble each other.

    f1 : ndarray, shape (n, n), F1 of each member's own atoms against each other member's; symmetric, 1 on the diagonal
    iou : ndarray, shape (n, n), intersection over union of their foregrounds
    """

    f1: NDArray[np.float64]
    iou: NDArray[np.float64]

    @property
    def mean_f1(self) -> float:
        """Mean over the pairs of different members; NaN for one member."""
        return _mean_of_pairs(self.f1)

    @property
    def mean_iou(self) -> float:
        """Mean over the pairs of different members; NaN for one member."""
        return _mean_of_pairs(self.iou)

    @property
    def with_others(self) -> NDArray[np.float64]:
        """Mean F1 of each member with the others, shape (n,); NaN for one member."""
        n = len(self.f1)
        return (self.f1.sum(axis=1) - 1) / (n - 1) if n > 1 else np.full(n, np.nan)


def agreement(atoms: Sequence[NDArray[np.floating]], foregrounds: Sequence[NDArray[np.bool_]], match_px: float) -> Agreement:
    """How members agree on one frame; where neither of two finds anything, they agree.

    Two members' atoms are the same where each is the other's nearest, see `neighbours.mutual_f1`.

    atoms : what each member finds by itself, (N, 2+; y, x first) in pixels
    foregrounds : each member's map above threshold, equally shaped
    match_px : how far apart two members may place the same atom
    """
    n = len(atoms)
    f1 = np.eye(n)
    for a in range(n):
        for b in range(a):
            f1[a, b] = f1[b, a] = mutual_f1(atoms[a][:, :2], atoms[b][:, :2], match_px)
    flat = np.array([one.reshape(-1) for one in foregrounds], np.float32)
    shared = (flat @ flat.T).astype(np.float64)
    area = np.diag(shared)
    union = area[:, None] + area[None] - shared
    return Agreement(f1, np.divide(shared, union, out=np.ones_like(shared), where=union > 0))


def mean_agreement(parts: Sequence[Agreement]) -> Agreement | None:
    """The average over frames of the same members; None without any."""
    return Agreement(np.mean([part.f1 for part in parts], axis=0), np.mean([part.iou for part in parts], axis=0)) if parts else None


def _mean_of_pairs(table: NDArray[np.float64]) -> float:
    pairs = table[np.triu_indices(len(table), 1)]
    return float(pairs.mean()) if len(pairs) else float("nan")
