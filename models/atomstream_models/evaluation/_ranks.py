"""How well a number tells the wrong from the right."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_VALUES = 0x7C01
"""Non-negative half-precision numbers up to infinity; as integers their bit patterns are in the numbers' own order."""


def auroc(values: NDArray[np.floating], wrong: NDArray[np.bool_]) -> float:
    """Area under the receiver operating characteristic: the chance that a wrong one has a higher value than a right one.

    Ties count half (Mann and Whitney 1947). 0.5 = the values tell nothing. NaN where nothing is wrong or nothing is right, or a value is NaN.
    """
    if np.isnan(values).any():
        return math.nan
    _, level = np.unique(values, return_inverse=True)
    levels = int(level.max()) + 1 if len(level) else 0
    return auroc_of_counts(np.bincount(level[wrong], minlength=levels), np.bincount(level[~wrong], minlength=levels))


def auroc_of_counts(wrong: NDArray[np.int64], right: NDArray[np.int64]) -> float:
    """The same from how many are wrong and right at each level, levels in rising order."""
    n_wrong, n_right = int(wrong.sum()), int(right.sum())
    if not n_wrong or not n_right:
        return math.nan
    below = np.cumsum(right) - right
    return float(np.sum(wrong * (below + right / 2.0)) / (float(n_wrong) * float(n_right)))


class Levels:
    """How often each value occurs among values of any number of frames, kept in half precision (three digits).

    Values are non-negative; the memory is that of 31 745 counters, however many pixels are added.
    """

    def __init__(self) -> None:
        self.counts = np.zeros(_VALUES, np.int64)

    def add(self, values: NDArray[np.floating]) -> None:
        """Count more values."""
        self.counts += np.bincount(np.abs(values).reshape(-1).astype(np.float16).view(np.uint16), minlength=_VALUES)

    @property
    def median(self) -> float:
        """The median of all values, NaN without any."""
        total = int(self.counts.sum())
        return float(level_values()[np.searchsorted(np.cumsum(self.counts), (total + 1) // 2)]) if total else math.nan


def level_values() -> NDArray[np.float64]:
    """The value of each level of `Levels`."""
    return np.arange(_VALUES, dtype=np.uint16).view(np.float16).astype(np.float64)
