"""The watch over what all members have in common."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from ..drift_settings import DriftSettings
from ._alarm import Alarm
from ._reference import learn
from ._signal import Signal

SIGNS = ("agreement", "spread")
_LEAST_SPREAD = 0.05
_NEGLIGIBLE_STD = 0.005


@dataclass
class SceneWatch:
    """Two signs that the members together have left what they know, as logarithms, and the alarms that follow.

    agreement : the median member's divergence from the others, each against its own reference, so that it holds whoever is used
    spread : the used members' std where they see atoms, for one set of used members
    alarm : the scene is blamed
    pair_alarm : two members disagree, which tells nothing of who is wrong
    """

    agreement: Signal = field(default_factory=Signal)
    spread: Signal = field(default_factory=Signal)
    alarm: Alarm = field(default_factory=Alarm)
    pair_alarm: Alarm = field(default_factory=Alarm)

    def forget(self) -> None:
        """Learn anew what is normal."""
        self.agreement.forget()
        self.spread.forget()

    def see(self, divergence: float, raised: float | None, std: float, settings: DriftSettings) -> None:
        """Take one frame.

        divergence : logarithm of the median member's divergence
        raised : by how much the divergences exceed the members' own references, None where none is learned
        std : mean std over the foreground
        """
        least = math.log(settings.scene_factor)
        if self.agreement.reference is not None:
            if raised is not None:
                self.agreement.watch(raised, settings, least)
        elif (values := self.agreement.learn(divergence, settings.window)) is not None:
            self.agreement.know(learn(values, settings.smoothing, _LEAST_SPREAD, centre=0.0))
        value = math.log(std + _NEGLIGIBLE_STD)
        if self.spread.reference is not None:
            self.spread.watch(value - self.spread.reference.centre, settings, least)
        elif (values := self.spread.learn(value, settings.window)) is not None:
            self.spread.know(learn(values, settings.smoothing, _LEAST_SPREAD))

    def beyond(self, settings: DriftSettings) -> str | None:
        """The sign that has left what was normal, None where neither has.

        One bad member raises the std, too: it is believed only where the median member disagrees more than usual.
        """
        least = math.log(settings.scene_factor)
        if self.agreement.beyond(settings, least):
            return "agreement"
        return "spread" if self.strained(settings) and self.spread.beyond(settings, least) else None

    def strained(self, settings: DriftSettings) -> bool:
        """Whether the members together disagree more than usual, if only half as much as it takes to blame the scene."""
        known = self.agreement.reference
        return known is not None and self.agreement.level > known.ceiling(settings.smoothing) and self.agreement.firm > math.log(settings.scene_factor) / 2

    def moved(self, name: str) -> float:
        """Logarithm of how much a sign has grown."""
        return self.agreement.moved if name == "agreement" else self.spread.moved

    def back(self, settings: DriftSettings) -> bool:
        """Whether both are what they were."""
        return self.agreement.back(settings) and self.spread.back(settings)
