"""Whether probabilities mean what they say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Reliability:
    """Predicted against observed frequencies, in bins of the prediction.

    edges : ndarray, shape (B + 1,)
    count : ndarray, shape (B,), how many fell into each bin
    predicted : ndarray, shape (B,), mean prediction there, NaN where the bin is empty
    observed : ndarray, shape (B,), share of those that are true, NaN where the bin is empty
    """

    edges: NDArray[np.float64]
    count: NDArray[np.int64]
    predicted: NDArray[np.float64]
    observed: NDArray[np.float64]

    @property
    def error(self) -> float:
        """Expected calibration error (Guo et al. 2017): mean |predicted - observed|, weighted by count; NaN without anything."""
        used = self.count > 0
        if not used.any():
            return float("nan")
        return float(np.average(np.abs(self.predicted - self.observed)[used], weights=self.count[used]))


class ReliabilityCounts:
    """Collects predictions and outcomes for a `Reliability`, frame by frame."""

    def __init__(self, edges: NDArray[np.float64]) -> None:
        self.edges = edges
        self._count = np.zeros(len(edges) - 1, np.int64)
        self._predicted = np.zeros(len(edges) - 1)
        self._true = np.zeros(len(edges) - 1, np.int64)

    def add(self, predicted: NDArray[np.floating], true: NDArray[np.bool_]) -> None:
        """Count predictions with their outcomes; what lies beyond the outer edges falls into the outer bins."""
        bins = len(self._count)
        at = np.clip(np.searchsorted(self.edges, predicted, side="right") - 1, 0, bins - 1)
        self._count += np.bincount(at, minlength=bins)
        self._predicted += np.bincount(at, predicted, minlength=bins)
        self._true += np.bincount(at[true], minlength=bins)

    def result(self) -> Reliability:
        """What was collected so far."""
        empty = np.full(len(self._count), np.nan)
        used = self._count > 0
        predicted = np.divide(self._predicted, self._count, out=empty.copy(), where=used)
        observed = np.divide(self._true, self._count, out=empty.copy(), where=used)
        return Reliability(self.edges, self._count.copy(), predicted, observed)
