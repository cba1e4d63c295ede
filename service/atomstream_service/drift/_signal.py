"""One number a frame, watched for leaving what was normal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..drift_settings import DriftSettings
from ._page_hinkley import PageHinkley
from ._reference import Reference

_OUTERMOST = 8.0
"""A frame counts for at most this many standard deviations, so that no single one raises an alarm ..."""
_MOST = 2.0
"""... and for at most this many times the change that matters."""


@dataclass
class Signal:
    """A signal that is learned first and watched then.

    learning : values seen while the reference is learned, emptied when it is
    reference : what is normal, None while it is learned
    level : running mean of the z-scores
    moved : running mean of the change, in the signal's unit
    firm : the same with each frame's part cut to twice the change that matters
    before : the last frame's z-score
    up, down : change tests of the whitened z-scores and of their negatives
    holding, calm : frames in a row beyond the ceiling, and back below half of it
    """

    learning: list[float] = field(default_factory=list)
    reference: Reference | None = None
    level: float = 0.0
    moved: float = 0.0
    firm: float = 0.0
    before: float = 0.0
    up: PageHinkley = field(default_factory=PageHinkley)
    down: PageHinkley = field(default_factory=PageHinkley)
    holding: int = 0
    calm: int = 0

    def forget(self) -> None:
        """Learn anew what is normal."""
        self.learning = []
        self.reference = None
        self.restart()

    def restart(self) -> None:
        """Watch on from now, as if nothing had been seen since the reference."""
        self.level = self.moved = self.firm = self.before = 0.0
        self.up = self.down = PageHinkley()
        self.holding = self.calm = 0

    def learn(self, value: float, window: int) -> Sequence[float] | None:
        """Take one value for the reference; all values once there are `window` of them, None before."""
        self.learning.append(value)
        return self.learning if len(self.learning) >= window else None

    def know(self, reference: Reference) -> None:
        """Begin to watch by a reference."""
        self.reference = reference
        self.learning = []

    def watch(self, change: float, settings: DriftSettings, least: float, *, both: bool = False, spread: float = 0.0) -> None:
        """Take one frame's change against the reference's centre.

        least : change, in the signal's unit, below which nothing is held against it
        both : whether a fall counts as a rise does
        spread : spread to assume at least in this frame
        """
        reference = self._known()
        z = max(-_OUTERMOST, min(_OUTERMOST, change / max(reference.spread, spread)))
        whitened = reference.innovation(z, self.before)
        self.before = z
        self.up, self.down = self.up.after(whitened, settings.slack), self.down.after(-whitened, settings.slack)
        self.level += settings.smoothing * (z - self.level)
        self.moved += settings.smoothing * (change - self.moved)
        self.firm += settings.smoothing * (max(-_MOST * least, min(_MOST * least, change)) - self.firm)
        ceiling = reference.ceiling(settings.smoothing)
        level, now, moved = (abs(one) if both else one for one in (self.level, z, self.firm))
        held = level > ceiling and now > ceiling / 2 and moved > least
        self.holding = self.holding + 1 if held else 0
        self.calm = self.calm + 1 if level < ceiling / 2 or moved < least / 2 else 0

    def beyond(self, settings: DriftSettings, least: float, *, both: bool = False) -> bool:
        """Whether the level test or the change test says that the signal has left what was normal."""
        if self.reference is None:
            return False
        moved = abs(self.firm) if both else self.firm
        rise = max(self.up.rise(), self.down.rise()) if both else self.up.rise()
        return self.holding >= settings.sustain or (rise > settings.rise and moved > least)

    def back(self, settings: DriftSettings) -> bool:
        """Whether it has been back to normal for long enough."""
        return self.reference is None or self.calm >= settings.sustain

    def _known(self) -> Reference:
        if self.reference is None:
            raise RuntimeError("a signal was watched before its reference was learned")
        return self.reference
