"""Where to cut between two kinds of atoms."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_FEWEST = 20
_CANDIDATES = 512
_BETWEEN = (0.4, 0.6)
_MOST_BETWEEN = 0.5
_APART = 4.0
"""Least distance between the medians, in robust standard deviations of the wider kind; the halves of a Gaussian are 2.3 apart ..."""
_ALONE = 6.0
"""... and how much more there must be for a kind of one atom, shared out where it has more: anything has outliers."""


def automatic_threshold(values: NDArray[np.floating]) -> float | None:
    """The value that best separates two kinds of atoms, None where there is only one kind.

    Two kinds are apart when hardly an atom lies between them: in the middle fifth between their medians at most half as
    many as the rarer kind has, and when each is narrow against their distance. Of all such cuts the one with the emptiest
    middle counts, of equals the widest; the threshold is the middle of the widest gap there. One impurity among
    thousands of hosts is found as well as every second atom. Otsu's threshold needs kinds of like size or very
    different brightness, and a mixture of Gaussians fits frames of different noise before it fits a rare kind.
    The tail of a single kind is never empty, so it is not cut off. Fewer than 20 values are held to be one kind.

    values : ndarray, shape (N,), finite
    """
    x = np.sort(np.asarray(values, np.float64))
    if len(x) < _FEWEST or x[0] == x[-1]:
        return None
    cuts = _candidates(x)
    low, high = x[(cuts - 1) // 2], x[cuts + (len(x) - cuts) // 2]
    start, end = (low + share * (high - low) for share in _BETWEEN)
    rarer = np.minimum(cuts, len(x) - cuts)
    crowd = (np.searchsorted(x, end) - np.searchsorted(x, start, side="right")) / rarer
    for k in np.lexsort((low - high, crowd)):
        if crowd[k] > _MOST_BETWEEN:
            return None
        if high[k] - low[k] >= (_APART + _ALONE / rarer[k]) * max(_spread(x[: cuts[k]]), _spread(x[cuts[k] :])):
            edges = np.concatenate([[start[k]], x[(x > start[k]) & (x < end[k])], [end[k]]])
            widest = int(np.argmax(np.diff(edges)))
            return float(edges[widest] + edges[widest + 1]) / 2
    return None


def _candidates(x: NDArray[np.float64]) -> NDArray[np.int64]:
    """How many of the sorted values may lie below the cut: cuts evenly spaced in value and in rank, and the widest gaps."""
    levels = np.searchsorted(x, np.linspace(x[0], x[-1], _CANDIDATES))
    ranks = np.linspace(1, len(x) - 1, min(_CANDIDATES, len(x) - 1)).astype(np.int64)
    gaps = np.argsort(-np.diff(x), kind="stable")[:_CANDIDATES] + 1
    cuts = np.unique(np.concatenate([levels, ranks, gaps]))
    return cuts[(cuts > 0) & (cuts < len(x))]


def _spread(x: NDArray[np.float64]) -> float:
    return 1.4826 * float(np.median(np.abs(x - np.median(x))))
