"""Drift in sentences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

_SCORES: Mapping[str, str] = {
    "divergence": "on the probability maps",
    "misplaced": "on where atoms are",
    "count": "on how many atoms there are",
}


def disagreement(member: str, others: int, score: str, ratio: float) -> str:
    """`ratio` is the logarithm of the member's score over the median member's."""
    return f"{member} disagrees with the other {others} {_SCORES[score]}, {math.exp(ratio):.1f} times as much as the median member does"


def lost_agreement(signal: str, moved: float) -> str:
    """All members at once; `moved` is a logarithm."""
    what = "they disagree" if signal == "agreement" else "their std is"
    return f"all members have lost agreement: {what} {math.exp(moved):.1f} times {'as much' if signal == 'agreement' else 'as large'} as before"


def pair_disagrees(pair: Sequence[str], moved: float) -> str:
    """`moved` is a logarithm."""
    return f"{' and '.join(pair)} disagree {math.exp(moved):.1f} times as much as before; of two members nobody can tell which one is wrong"


def changed_frames(statistic: str, moved: float) -> str:
    """`moved` is a share for level, contrast and noise, decades for the lattice, a logarithm for jitter."""
    way = "rose" if moved > 0 else "fell"
    if statistic == "lattice":
        return f"the frames have changed: the lattice's peaks {way} by a factor of {10 ** abs(moved):.1f}"
    if statistic == "jitter":
        return f"the frames have changed: differences between scan lines {way} by a factor of {math.exp(abs(moved)):.2f}"
    return f"the frames have changed: {'brightness' if statistic == 'level' else statistic} {way} by {100 * abs(moved):.0f} %"
