"""The watch over one member."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ..drift_settings import DriftSettings
from ._alarm import Alarm
from ._common import SCORES
from ._reference import learn
from ._scores import MemberScores
from ._signal import Signal

_LEAST_SPREAD = 0.1
"""Spread of a score's logarithm that is assumed at least: agreement to the last digit makes no member a suspect."""


@dataclass(frozen=True)
class Standing:
    """How one score of one frame compares, all as logarithms.

    own : the member's own score
    common : by how much the frame raised everybody's, against each one's own reference
    median : the used members' median score
    spread, own_spread : how far the used members lie apart, and how far beyond each one's own reference
    """

    own: float
    common: float
    median: float
    spread: float
    own_spread: float


@dataclass
class Apart:
    """How far a score is from the median member's, which needs no reference.

    ratio : running mean of the logarithm of the ratio
    level : the same in spreads of the members
    holding : frames in a row beyond the bounds
    """

    ratio: float = 0.0
    level: float = 0.0
    holding: int = 0

    def see(self, standing: Standing, settings: DriftSettings) -> None:
        ratio = standing.own - standing.median
        self.ratio += settings.smoothing * (ratio - self.ratio)
        self.level += settings.smoothing * (ratio / max(standing.spread, _LEAST_SPREAD) - self.level)
        beyond = min(self.ratio, ratio) > math.log(settings.member_ratio) and self.level > settings.member_level
        self.holding = self.holding + 1 if beyond else 0

    def near(self, settings: DriftSettings) -> bool:
        """Whether it is well within the bounds."""
        return self.ratio < math.log(settings.member_ratio) / 2


@dataclass
class MemberWatch:
    """One member's signals and alarm.

    used : whether it was used on the last frame
    latest : its scores on the last frame that it ran on
    signals, apart : score -> what is watched
    beside : score -> logarithms of the ratio to the median member, kept while the reference is learned
    """

    used: bool = False
    latest: MemberScores | None = None
    signals: dict[str, Signal] = field(default_factory=lambda: {name: Signal() for name in SCORES})
    apart: dict[str, Apart] = field(default_factory=lambda: {name: Apart() for name in SCORES})
    beside: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in SCORES})
    alarm: Alarm = field(default_factory=Alarm)

    @property
    def learned(self) -> bool:
        return all(signal.reference is not None for signal in self.signals.values())

    def forget(self) -> None:
        """Learn anew what is normal for this member."""
        for name in SCORES:
            self.signals[name].forget()
            self.beside[name].clear()

    def enter(self) -> None:
        """It is used again: what was seen before it left says nothing of now."""
        for name in SCORES:
            self.signals[name].restart()
            self.apart[name] = Apart()
        self.alarm.armed = True

    def see(self, standings: Mapping[str, Standing], settings: DriftSettings, *, counts: bool) -> None:
        """Take one frame; a member that does not count is watched for its return alone and learns nothing."""
        for name, standing in standings.items():
            signal = self.signals[name]
            self.apart[name].see(standing, settings)
            if signal.reference is not None:
                change = standing.own - standing.common - signal.reference.centre
                signal.watch(change, settings, math.log(settings.member_factor), spread=standing.own_spread)
            elif counts:
                self.beside[name].append(standing.own - standing.median)
                values = signal.learn(standing.own - standing.common, settings.window)
                if values is not None:
                    # The centre is that of the member's own score; how much it varies is told by its distance to the others, which the scene leaves alone.
                    signal.know(learn(self.beside[name], settings.smoothing, _LEAST_SPREAD, float(np.median(values))))
                    self.beside[name] = []

    def beyond(self, settings: DriftSettings, *, strained: bool) -> str | None:
        """The score that has left its bounds furthest, None where none has.

        strained : all members disagree more than usual. What one was like before counts for nothing then: some lose their way sooner than others,
            which is the scene's fault, and a member must stand out as it would have to without a reference.
        """
        least = math.log(settings.member_factor)
        blamed = [name for name in SCORES if self.apart[name].holding >= settings.sustain or (not strained and self.signals[name].beyond(settings, least))]
        return max(blamed, key=lambda name: self.apart[name].ratio, default=None)

    def back(self, settings: DriftSettings) -> bool:
        """Whether all scores are well within their bounds again."""
        return all(self.signals[name].back(settings) and self.apart[name].near(settings) for name in SCORES)
