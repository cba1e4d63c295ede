"""The watch over one stream."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Self

from pydantic import TypeAdapter

from ..drift_settings import DriftSettings
from ._alarm import Alarm
from ._common import SCORES, logarithm, median, spread
from ._events import Cause, DriftEvent
from ._member_watch import Standing
from ._scene_watch import SIGNS
from ._scores import FrameScores
from ._snapshot import DriftSnapshot, snapshot_of
from ._state import MonitorState, ScanKey
from ._words import changed_frames, disagreement, lost_agreement, pair_disagrees

_STATE = TypeAdapter(MonitorState)

FEWEST = 3
"""Used members below which nobody can tell which one is wrong."""


class DriftMonitor:
    """Says which member, or the scene, or the instrument, has left what was normal: a function of what it was shown, and of nothing else.

    settings : how drift is watched for
    members : all members of the ensemble
    """

    def __init__(self, settings: DriftSettings, members: Iterable[str], state: MonitorState | None = None) -> None:
        self._settings = settings
        self._state = state or MonitorState.of(members)

    @classmethod
    def restore(cls, settings: DriftSettings, members: Iterable[str], state: Mapping[str, Any]) -> Self:
        """The monitor that `as_json` told of. Members that it did not know begin anew, those that the ensemble no longer has are forgotten.

        Raises
        ------
        pydantic.ValidationError
            where the state is not one.
        """
        held = _STATE.validate_python(state)
        held.keep(members)
        return cls(settings, held.members, held)

    def as_json(self) -> dict[str, Any]:
        """All that the monitor knows, in JSON's types; `restore` goes on from there as if nothing had happened."""
        out: dict[str, Any] = _STATE.dump_python(self._state, mode="json")
        return out

    def observe(self, scores: FrameScores, scan: ScanKey) -> list[DriftEvent]:
        """Take one frame; what changed with it. A frame that says nothing of drift (`FrameScores.unfit`) is passed over.

        References are learned anew when `scan` differs from the frame before; alarms stay.
        """
        state = self._state
        if scores.unfit is not None:
            return []
        if state.scan is not None and state.scan != scan:
            self._forget()
        used = tuple(scores.members)
        if used != state.used:
            state.scene.spread.forget()
        state.scan, state.seq, state.used, state.frames = scan, scores.seq, used, state.frames + 1
        state.instrument.see(scores.statistics, self._settings)
        self._watch_members(scores)
        return [*self._member_events(), *self._common_events()]

    def acknowledge(self, subject: str) -> bool:
        """Release a latched alarm: of a member by its id, else `scene`, `instrument` or `unattributed`; whether there was one.

        Who acknowledges a scene or an instrument accepts it as it is, and what is normal is learned anew. A member's reference stays: it is
        not blamed again while it is used on as it is, but one that was taken out and comes back must be what it was before.

        Raises
        ------
        KeyError
            where nothing of that name is watched.
        """
        state = self._state
        if subject in state.members:
            return state.members[subject].alarm.acknowledge()
        alarms = {
            "scene": (state.scene.alarm,),
            "instrument": (state.instrument.alarm, state.instrument.lost),
            "unattributed": (state.scene.pair_alarm,),
        }
        released = [alarm.acknowledge() for alarm in alarms[subject]]
        self._forget()
        return any(released)

    @property
    def blames_members(self) -> bool:
        """Whether an alarm on a member is raised."""
        return any(watch.alarm.since is not None for watch in self._state.members.values())

    def snapshot(self) -> DriftSnapshot:
        """How everything stands after the last frame."""
        return snapshot_of(self._state, self._settings)

    def _forget(self) -> None:
        self._state.scene.forget()
        self._state.instrument.forget()
        for watch in self._state.members.values():
            watch.forget()

    def _watch_members(self, scores: FrameScores) -> None:
        """Watch every member that ran, each score for itself, and what they have in common."""
        settings, members = self._settings, self._state.members
        used = {member: members[member] for member in scores.members}
        for member, watch in members.items():
            if member in used and not watch.used:
                watch.enter()
            watch.used = member in used
        ran = {**scores.shadows, **scores.members}
        standings: dict[str, dict[str, Standing]] = {member: {} for member in ran}
        for name in SCORES:
            own = {member: logarithm(one, name) for member, one in ran.items()}
            among = {member: own[member] for member in used}
            grown = {member: own[member] - reference.centre for member, watch in used.items() if (reference := watch.signals[name].reference) is not None}
            common, middle = median(grown), median(among)
            shared = (common, middle, spread(among), spread(grown))
            for member in ran:
                standings[member][name] = Standing(own[member], *shared)
            if name == "divergence" and len(used) > 1:
                self._state.scene.see(middle, common if grown else None, scores.spread, settings)
        for member, one in ran.items():
            members[member].latest = one
            if len(used) > 1:
                members[member].see(standings[member], settings, counts=member in used)

    def _member_events(self) -> list[DriftEvent]:
        state, settings, events = self._state, self._settings, []
        strained = state.scene.strained(settings)
        for member, watch in state.members.items():
            worst = watch.beyond(settings, strained=strained) if watch.used and len(state.used) >= FEWEST else None
            changed = watch.alarm.see(self._seq, worst, watch.back(settings))
            if changed is True:
                message = disagreement(member, len(state.used) - 1, watch.alarm.signal, watch.apart[watch.alarm.signal].ratio)
                events.append(DriftEvent("alarm", self._seq, "member", member, watch.alarm.signal, message))
            elif changed is False:
                events.append(DriftEvent("over", self._seq, "member", member, watch.alarm.signal, f"{member} agrees with the others again"))
        return events

    def _common_events(self) -> list[DriftEvent]:
        """Agreement that is lost long after the frames began to change is the instrument's doing; else the scene is blamed."""
        scene, instrument, settings, seq = self._state.scene, self._state.instrument, self._settings, self._seq
        lost, used = scene.beyond(settings), self._state.used
        crept = instrument.changed_for > settings.together
        by_scene, by_instrument = (None, lost) if crept and scene.alarm.since is None else (lost, None)
        pair = len(used) < FEWEST
        scene_back, instrument_back = scene.back(settings), instrument.back(settings)
        return [
            *self._told("instrument", instrument.alarm, instrument.alarm.see(seq, instrument.beyond(settings), instrument_back)),
            *self._told("scene", scene.alarm, scene.alarm.see(seq, None if pair else by_scene, scene_back)),
            *self._told("instrument", instrument.lost, instrument.lost.see(seq, None if pair else by_instrument, scene_back)),
            *self._told("unattributed", scene.pair_alarm, scene.pair_alarm.see(seq, lost if pair else None, scene_back)),
        ]

    def _told(self, cause: Cause, alarm: Alarm, changed: bool | None) -> list[DriftEvent]:
        if changed is None:
            return []
        state, signal = self._state, alarm.signal
        agreement = signal in SIGNS
        if changed is False:
            message = "the members agree as before" if agreement else "the frames are what they were"
        elif not agreement:
            message = changed_frames(signal, state.instrument.moved(signal))
        elif cause == "unattributed":
            message = pair_disagrees(state.used, state.scene.moved(signal))
        else:
            message = lost_agreement(signal, state.scene.moved(signal))
        return [DriftEvent("alarm" if changed else "over", self._seq, cause, None, signal, message)]

    @property
    def _seq(self) -> int:
        return self._state.seq or 0
