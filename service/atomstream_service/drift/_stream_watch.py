"""The watch over one stream, with what follows for its members."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from pydantic import TypeAdapter

from ..drift_settings import DriftSettings, QuarantineSettings
from ..members import MemberState
from ._events import DriftEvent
from ._monitor import DriftMonitor
from ._policy import QuarantineDecision, QuarantinePolicy
from ._scores import FrameScores
from ._snapshot import DriftSnapshot
from ._state import MonitorState, ScanKey

_UNDERWAY = 100
"""Scored frames for which a decision is taken to be under way; whoever has not carried it out by then is told once more."""


@dataclass
class WatchState:
    """All that the watch over one stream knows, plain values that go to JSON and back.

    seen : frames that it was shown
    last_round : frames that the monitor had judged when members were taken out last
    decided : member -> the same when it was to be taken out, for members that still count
    """

    monitor: MonitorState
    seen: int = 0
    last_round: int | None = None
    decided: dict[str, int] = field(default_factory=dict)


_STATE = TypeAdapter(WatchState)


@dataclass(frozen=True)
class Verdict:
    """What one frame brought.

    events : changes of alarms
    decisions : whom to take out now
    """

    events: tuple[DriftEvent, ...]
    decisions: tuple[QuarantineDecision, ...]


class StreamWatch:
    """A monitor and a policy: a function of what it is shown and told, and of nothing else, so that a recording can be judged again.

    settings, quarantine : how drift is watched for, and what is done about members that are blamed
    members : all members of the ensemble
    """

    def __init__(self, settings: DriftSettings, quarantine: QuarantineSettings, members: Iterable[str], state: WatchState | None = None) -> None:
        self.settings = settings
        self.quarantine = quarantine
        self._state = state or WatchState(MonitorState.of(members))
        self._monitor = DriftMonitor(settings, members, self._state.monitor)

    @classmethod
    def restore(cls, settings: DriftSettings, quarantine: QuarantineSettings, members: Iterable[str], state: Mapping[str, Any]) -> Self:
        """The watch that `as_json` told of. Members that it did not know begin anew, those that the ensemble no longer has are forgotten.

        Raises
        ------
        pydantic.ValidationError
            where the state is not one.
        """
        held = _STATE.validate_python(state)
        held.monitor.keep(members)
        return cls(settings, quarantine, held.monitor.members, held)

    @property
    def subjects(self) -> tuple[str, ...]:
        """What can be acknowledged: members, `scene`, `instrument`, `unattributed`."""
        return (*self._state.monitor.members, "scene", "instrument", "unattributed")

    @property
    def seen(self) -> int:
        """Frames that it was shown."""
        return self._state.seen

    def see(self, scores: FrameScores, scan: ScanKey, states: Mapping[str, MemberState]) -> Verdict:
        """Take one frame; references are learned anew when `scan` differs from the frame before.

        states : of all members, as this frame was answered
        """
        state = self._state
        state.seen += 1
        events = self._monitor.observe(scores, scan)
        judged = state.monitor.frames
        state.decided = {member: when for member, when in state.decided.items() if states.get(member) is MemberState.ENABLED and judged - when < _UNDERWAY}
        if scores.unfit is not None or not self._monitor.blames_members:
            return Verdict(tuple(events), ())
        standing = {**states, **dict.fromkeys(state.decided, MemberState.QUARANTINED)}
        decisions = QuarantinePolicy(self.quarantine).decide(self._monitor.snapshot(), standing, state.last_round)
        if decisions:
            state.last_round = judged
            state.decided |= {decision.member: judged for decision in decisions}
        return Verdict(tuple(events), tuple(decisions))

    def acknowledge(self, subject: str) -> bool:
        """Release a latched alarm, as `DriftMonitor.acknowledge`."""
        return self._monitor.acknowledge(subject)

    def change(self, settings: DriftSettings, quarantine: QuarantineSettings) -> None:
        """Watch and decide in another way from the next frame on; what was learned is kept."""
        self.settings, self.quarantine = settings, quarantine
        self._monitor = DriftMonitor(settings, self._state.monitor.members, self._state.monitor)

    def snapshot(self) -> DriftSnapshot:
        """How everything stands after the last frame."""
        return self._monitor.snapshot()

    def as_json(self) -> dict[str, Any]:
        """All that it knows, in JSON's types; `restore` goes on from there as if nothing had happened."""
        out: dict[str, Any] = _STATE.dump_python(self._state, mode="json")
        return out
