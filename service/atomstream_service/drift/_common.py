"""What all members of a frame share, and what each has of its own."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping

from ._scores import MemberScores

SCORES = ("divergence", "misplaced", "count")
NEGLIGIBLE: Mapping[str, float] = {"divergence": 0.003, "misplaced": 0.02, "count": 0.02}
"""Added to a score before its logarithm: differences far below this much matter to nobody."""

_MEDIAN_TO_STD = 1.4826


def logarithm(scores: MemberScores, name: str) -> float:
    """One score on the scale where growth by a factor is the same everywhere."""
    return math.log(getattr(scores, name) + NEGLIGIBLE[name])


def median(values: Mapping[str, float]) -> float:
    """The median over members, 0 for none."""
    return statistics.median(values.values()) if values else 0.0


def spread(values: Mapping[str, float]) -> float:
    """Robust standard deviation over members, 0 for fewer than two."""
    if len(values) < 2:
        return 0.0
    middle = median(values)
    return _MEDIAN_TO_STD * statistics.median(abs(one - middle) for one in values.values())
