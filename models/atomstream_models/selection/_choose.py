"""Suggestions from scores. Whoever knows the specimen has the last word."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import InputError
from ._score import MemberScores

_MARGIN = 0.25
_SAME = 0.01
"""Combined scores closer than this are the same."""


def rank(scores: Sequence[MemberScores]) -> tuple[MemberScores, ...]:
    """Scores from the least artifacts to the most; equal ones by id."""
    return tuple(sorted(scores, key=lambda one: (one.artifact, one.member)))


def choose(scores: Sequence[MemberScores], *, best: int | None = None, margin: float = _MARGIN) -> tuple[str, ...]:
    """Ids of the members to keep, the best first: the `best` of them, or all whose combined score is at most `margin` worse than the best
    one's, as a share of it, a hundredth always allowed.

    Raises
    ------
    InputError
        for fewer than one member, more than there are, or a margin below 0.
    """
    ranked = rank(scores)
    if best is None:
        if not margin >= 0:
            raise InputError(f"margin = {margin:g} is below 0")
        return tuple(one.member for one in ranked if one.artifact <= (1 + margin) * ranked[0].artifact + _SAME)
    if not 1 <= best <= len(ranked):
        raise InputError(f"the best {best} of {len(ranked)} members can't be chosen")
    return tuple(one.member for one in ranked[:best])
