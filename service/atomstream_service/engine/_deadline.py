"""How many members a frame has time for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from atomstream_models.bundle import Card

Order = Literal["rank", "rotate"]
"""rank = the best members by the card's metric, always the same; rotate = all take their turns."""

_NEWEST = 0.2
"""Weight of the newest frame in a running mean."""
_METRIC = "validation_f1"


@dataclass
class _Mean:
    """A running mean of milliseconds for a million pixels; None before the first."""

    ms: float | None = None

    def add(self, ms: float, pixels: int) -> None:
        per_mpx = ms * 1e6 / pixels
        self.ms = per_mpx if self.ms is None else self.ms + _NEWEST * (per_mpx - self.ms)

    def of(self, pixels: int) -> float:
        return 0.0 if self.ms is None else self.ms * pixels / 1e6


class Deadline:
    """Chooses as many enabled members as are done in time, from what frames took lately.

    Members run some at once; a turn takes the same time whichever and however many take part in it. Before the first frame nothing is known and all run.

    budget_ms : time that a frame may take from when it is taken up until its atoms are sent
    """

    def __init__(self, budget_ms: float, order: Order) -> None:
        self._budget_ms = budget_ms
        self._order = order
        self._turn = _Mean()
        self._afterwards = _Mean()
        self._next = 0
        self._last: tuple[int, int] = (0, 0)

    def choose(self, members: Sequence[str], card: Card, at_once: int, pixels: int, spent_ms: float) -> list[str]:
        """The members to run on a frame, in the card's order; at least one of them.

        members : those that are to count
        at_once : how many run at once
        pixels : of the prepared frame
        spent_ms : time that the frame has taken so far
        """
        turn_ms = self._turn.of(pixels)
        left_ms = self._budget_ms - spent_ms - self._afterwards.of(pixels)
        turns = len(members) if turn_ms <= 0 else max(1, int(left_ms / turn_ms))
        count = min(len(members), turns * at_once)
        self._last = (count, len(members))
        if count == len(members):
            return list(members)
        if self._order == "rank":
            chosen = set(sorted(members, key=lambda member: -_metric(card, member))[:count])
        else:
            chosen = {members[(self._next + k) % len(members)] for k in range(count)}
            self._next = (self._next + count) % len(members)
        return [member for member in members if member in chosen]

    def ran(self, members: int, at_once: int, pixels: int, ms: float) -> None:
        """Note how long some members took on a frame."""
        self._turn.add(ms / -(-members // at_once), pixels)

    def finished(self, pixels: int, ms: float) -> None:
        """Note how long a frame took from its members' answers until its atoms were found."""
        self._afterwards.add(ms, pixels)

    def summary(self) -> Mapping[str, Any]:
        """The budget, and how many members had time on the last frame, of how many."""
        return {"budget_ms": self._budget_ms, "order": self._order, "members": self._last[0], "of": self._last[1], "turn_ms_per_mpx": self._turn.ms}


def _metric(card: Card, member: str) -> float:
    """The card's figure of a member; 0 where it has none, which leaves the card's order."""
    value = next(one.metrics.get(_METRIC) for one in card.members if one.id == member)
    return float(value) if isinstance(value, int | float) else 0.0
