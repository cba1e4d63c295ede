"""What is done about members that are blamed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ..drift_settings import QuarantineSettings
from ..members import MemberState
from ._monitor import FEWEST
from ._snapshot import DriftSnapshot
from ._words import disagreement


@dataclass(frozen=True)
class QuarantineDecision:
    """A member to be quarantined, and why."""

    member: str
    reason: str

    def on(self, source: str) -> str:
        """The reason as the journal has it."""
        return f"{self.reason}, on {source}"


@dataclass(frozen=True)
class QuarantinePolicy:
    """Who is taken out: a function of how drift stands and of the members' states, and of nothing else.

    A member that is quarantined comes back by acknowledgement alone; the policy never enables one.
    """

    settings: QuarantineSettings

    def decide(self, snapshot: DriftSnapshot, states: Mapping[str, MemberState], last_round: int | None = None) -> list[QuarantineDecision]:
        """Whom to take out now, the worst first; nobody in mode `advice`.

        last_round : `DriftSnapshot.frames` when the policy last took somebody out, None where it never did
        """
        if self.settings.mode == "advice":
            return []
        if last_round is not None and 0 <= snapshot.frames - last_round < self.settings.cooldown:
            return []
        enabled = [member for member in snapshot.members if states.get(member) is MemberState.ENABLED]
        blamed = [member for member in enabled if _is_blamed(snapshot, member)]
        if len(enabled) - len(blamed) < math.ceil(self.settings.quorum * len(enabled)):
            return []
        out = sum(state is MemberState.QUARANTINED for state in states.values())
        spare = len(enabled) - max(self.settings.least_used, FEWEST)
        room = max(0, min(self.settings.most_out - out, spare))
        worst_first = sorted(blamed, key=lambda member: -snapshot.members[member].ratio)
        return [QuarantineDecision(member, _reason(snapshot, member, len(enabled) - 1)) for member in worst_first[:room]]


def _is_blamed(snapshot: DriftSnapshot, member: str) -> bool:
    standing = snapshot.members[member]
    return standing.used and standing.alarm.raised and not standing.alarm.over


def _reason(snapshot: DriftSnapshot, member: str, others: int) -> str:
    standing = snapshot.members[member]
    return f"{disagreement(member, others, standing.alarm.signal or '', math.log(standing.ratio))} (since frame {standing.alarm.since})"
