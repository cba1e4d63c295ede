"""Drift as it stands after a frame."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..drift_settings import DriftSettings
from ._alarm import Alarm
from ._common import SCORES
from ._events import Cause
from ._instrument_watch import STATISTICS
from ._member_watch import MemberWatch
from ._signal import Signal
from ._state import MonitorState
from ._words import changed_frames, disagreement, lost_agreement, pair_disagrees


@dataclass(frozen=True)
class SignalStanding:
    """One signal now.

    value : on the last frame, in its own unit; None where the frame did not tell
    level : running z-score against the reference, None while that is learned
    change : running change against the reference: a factor for members' scores, agreement and spread, a share for level, contrast and
        noise, decades for lattice, a logarithm for jitter; None while the reference is learned
    """

    value: float | None
    level: float | None
    change: float | None


@dataclass(frozen=True)
class AlarmStanding:
    """One alarm now.

    raised : latched until acknowledged
    since : seq of the frame that raised it
    signal : what raised it
    over : whether its condition has ended
    """

    raised: bool
    since: int | None
    signal: str | None
    over: bool


@dataclass(frozen=True)
class MemberStanding:
    """One member now.

    used : whether it was used on the last frame
    learned : share of its reference that has been seen
    ratio : the score that stands out most, as a multiple of the median member's, a running mean
    level : its highest running z-score, 0 while references are learned
    """

    used: bool
    learned: float
    ratio: float
    level: float
    scores: Mapping[str, SignalStanding]
    alarm: AlarmStanding


@dataclass(frozen=True)
class CommonStanding:
    """The scene or the instrument now."""

    learned: float
    signals: Mapping[str, SignalStanding]
    alarm: AlarmStanding


@dataclass(frozen=True)
class DriftSnapshot:
    """What `GET /v1/drift` tells of one stream.

    frames : frames judged
    seq : the last one's number in its stream, None before the first
    lost : the alarm that follows the instrument's, where the members lose agreement later
    pair : the alarm where only two members were used
    blamed : causes of the alarms that are raised
    advice : what to do, a sentence for each raised alarm
    """

    frames: int
    seq: int | None
    members: Mapping[str, MemberStanding]
    scene: CommonStanding
    instrument: CommonStanding
    lost: AlarmStanding
    pair: AlarmStanding
    blamed: tuple[Cause, ...]
    advice: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The snapshot in JSON's types."""
        return asdict(self)


def snapshot_of(state: MonitorState, settings: DriftSettings) -> DriftSnapshot:
    """How a monitor's state stands."""
    scene, instrument = state.scene, state.instrument
    statistics = {name: None if instrument.latest is None else float(getattr(instrument.latest, name)) for name in STATISTICS}
    return DriftSnapshot(
        frames=state.frames,
        seq=state.seq,
        members={member: _member(watch, settings) for member, watch in state.members.items()},
        scene=CommonStanding(
            _learned(scene.agreement, settings),
            {"agreement": _growth(None, scene.agreement), "spread": _growth(None, scene.spread)},
            _alarm(scene.alarm),
        ),
        instrument=CommonStanding(
            min(_learned(signal, settings) for signal in instrument.signals.values()),
            {name: _standing(statistics[name], signal, instrument.moved(name)) for name, signal in instrument.signals.items()},
            _alarm(instrument.alarm),
        ),
        lost=_alarm(instrument.lost),
        pair=_alarm(scene.pair_alarm),
        blamed=_blamed(state),
        advice=tuple(_advice(state)),
    )


def _member(watch: MemberWatch, settings: DriftSettings) -> MemberStanding:
    return MemberStanding(
        used=watch.used,
        learned=min(_learned(signal, settings) for signal in watch.signals.values()),
        ratio=math.exp(max(apart.ratio for apart in watch.apart.values())),
        level=max(signal.level for signal in watch.signals.values()),
        scores={name: _growth(None if watch.latest is None else float(getattr(watch.latest, name)), watch.signals[name]) for name in SCORES},
        alarm=_alarm(watch.alarm),
    )


def _growth(value: float | None, signal: Signal) -> SignalStanding:
    return _standing(value, signal, math.exp(signal.moved))


def _standing(value: float | None, signal: Signal, change: float) -> SignalStanding:
    known = signal.reference is not None
    return SignalStanding(value, signal.level if known else None, change if known else None)


def _learned(signal: Signal, settings: DriftSettings) -> float:
    return 1.0 if signal.reference is not None else len(signal.learning) / settings.window


def _alarm(alarm: Alarm) -> AlarmStanding:
    return AlarmStanding(alarm.since is not None, alarm.since, alarm.signal or None, alarm.over)


def _blamed(state: MonitorState) -> tuple[Cause, ...]:
    raised: dict[Cause, bool] = {
        "member": any(watch.alarm.since is not None for watch in state.members.values()),
        "scene": state.scene.alarm.since is not None,
        "instrument": any(alarm.since is not None for alarm in (state.instrument.alarm, state.instrument.lost)),
        "unattributed": state.scene.pair_alarm.since is not None,
    }
    return tuple(cause for cause, is_raised in raised.items() if is_raised)


def _advice(state: MonitorState) -> list[str]:
    """A sentence for each raised alarm whose condition still holds, members first."""
    out = []
    for member, watch in state.members.items():
        if watch.alarm.since is not None and not watch.alarm.over and watch.used:
            others = len(state.used) - 1
            out.append(f"{disagreement(member, others, watch.alarm.signal, watch.apart[watch.alarm.signal].ratio)}: take it out")
    scene, instrument = state.scene, state.instrument
    if scene.alarm.since is not None and not scene.alarm.over:
        out.append(f"{lost_agreement(scene.alarm.signal, scene.moved(scene.alarm.signal))}: refine on the last frames")
    if instrument.alarm.since is not None and not instrument.alarm.over:
        changed = changed_frames(instrument.alarm.signal, instrument.moved(instrument.alarm.signal))
        out.append(f"{changed}: look at dose, focus and scan, or acknowledge that this is another region")
    if instrument.lost.since is not None and not instrument.lost.over:
        out.append(f"{lost_agreement(instrument.lost.signal, scene.moved(instrument.lost.signal))}: bring the instrument back or refine on the last frames")
    if scene.pair_alarm.since is not None and not scene.pair_alarm.over and len(state.used) == 2:
        out.append(f"{pair_disagrees(state.used, scene.moved(scene.pair_alarm.signal))}: enable a third")
    return out
