"""Percentiles of times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_FEW_MS = 10.0
"""Where a hundredth of a millisecond is worth telling."""


@dataclass(frozen=True)
class Spread:
    """Milliseconds: median, 95th and 99th percentile, least and most of `count` times.

    Of fewer than some twenty times the 95th percentile, and of fewer than a hundred the 99th, says no more than `most`.
    """

    median: float
    p95: float
    p99: float
    least: float
    most: float
    count: int


def spread(ms: Sequence[float]) -> Spread:
    """Of at least one time."""
    median, p95, p99 = (float(np.percentile(ms, q)) for q in (50, 95, 99))
    return Spread(median, p95, p99, min(ms), max(ms), len(ms))


def as_ms(ms: float) -> str:
    """Milliseconds with as many digits as say something."""
    return f"{ms:.2f}" if abs(ms) < _FEW_MS else f"{ms:.1f}"
