"""How many members a std map needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_PIXELS = 1 << 15
"""Pixels of a frame that the correlation is taken over, drawn at random: all of them change it by about 0.005."""


@dataclass(frozen=True)
class Convergence:
    """Correlation of std maps from k members with the std map from all.

    members : ndarray, shape (K,), k = 2 ... n
    correlation : ndarray, shape (K,), mean Pearson correlation over random subsets of k members; 1 at n by its nature
    spread : ndarray, shape (K,), its standard deviation over the subsets
    apart : ndarray, shape (K,), mean correlation between the std maps of two sets of k members that share none, which owes nothing to
        shared members; NaN where 2k > n
    """

    members: NDArray[np.int64]
    correlation: NDArray[np.float64]
    spread: NDArray[np.float64]
    apart: NDArray[np.float64]

    def enough(self, least: float = 0.9) -> int | None:
        """The smallest number of members from which on the correlation stays at `least` or above; None where it never does."""
        below = np.flatnonzero(~(self.correlation >= least))
        first = below[-1] + 1 if len(below) else 0
        return int(self.members[first]) if first < len(self.members) else None


def std_convergence(maps: Sequence[NDArray[np.float32]], *, subsets: int = 24, seed: int = 0) -> Convergence | None:
    """How the std map settles as members are added, for one frame; None for fewer than two members.

    maps : one ndarray a member, equally shaped
    subsets : random subsets for each number of members, drawn with `seed`
    """
    n = len(maps)
    if n < 2:
        return None
    rng = np.random.default_rng(seed)
    flat = np.stack([one.reshape(-1) for one in maps])
    if flat.shape[1] > _PIXELS:
        flat = flat[:, np.sort(rng.choice(flat.shape[1], _PIXELS, replace=False))]
    # Squares of deviations from the members' mean don't cancel as squares of the values would.
    flat = flat - flat.mean(axis=0)
    squares = flat**2
    orders = np.array([rng.permutation(n) for _ in range(subsets)])
    whole = np.sqrt(squares.mean(axis=0))
    correlation, spread, apart = [], [], []
    for k in range(2, n + 1):
        first = _std(flat, squares, orders[:, :k])
        found = _correlations(first, whole[None])
        correlation.append(_mean(found))
        spread.append(float(np.std(found)))
        apart.append(_mean(_correlations(first, _std(flat, squares, orders[:, k : 2 * k]))) if 2 * k <= n else np.nan)
    return Convergence(np.arange(2, n + 1), np.array(correlation), np.array(spread), np.array(apart))


def mean_convergence(parts: Sequence[Convergence]) -> Convergence | None:
    """The average over frames of the same members; None without any. Frames whose std map is constant have no correlation and are left out."""
    if not parts:
        return None
    columns = [np.array([getattr(part, name) for part in parts]) for name in ("correlation", "spread", "apart")]
    averages = [np.array([_mean(column[:, k]) for k in range(column.shape[1])]) for column in columns]
    return Convergence(parts[0].members, *averages)


def _std(flat: NDArray[np.float32], squares: NDArray[np.float32], chosen: NDArray[np.int64]) -> NDArray[np.float32]:
    """Std map of each chosen subset, shape (subsets, pixels)."""
    share = np.zeros((len(chosen), len(flat)), np.float32)
    np.put_along_axis(share, chosen, np.float32(1 / chosen.shape[1]), axis=1)
    variance = share @ squares
    mean = share @ flat
    mean *= mean
    variance -= mean
    std: NDArray[np.float32] = np.sqrt(np.maximum(variance, 0, out=variance), out=variance)
    return std


def _correlations(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    a = a - a.mean(axis=1, keepdims=True)
    b = b - b.mean(axis=1, keepdims=True)
    product = np.einsum("ij,ij->i", a, np.broadcast_to(b, a.shape)).astype(np.float64)
    size = np.sqrt(np.einsum("ij,ij->i", a, a).astype(np.float64) * np.einsum("ij,ij->i", b, b).astype(np.float64))
    found: NDArray[np.float64] = np.divide(product, size, out=np.full(len(a), np.nan), where=size > 0)
    return np.clip(found, -1, 1)


def _mean(values: NDArray[np.float64]) -> float:
    """The mean of what is known, NaN where nothing is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
