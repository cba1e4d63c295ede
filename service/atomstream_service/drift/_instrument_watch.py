"""The watch over what the frames themselves tell of the instrument."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ..drift_settings import DriftSettings
from ._alarm import Alarm
from ._reference import learn
from ._signal import Signal
from ._statistics import FrameStatistics

STATISTICS = ("level", "contrast", "noise", "lattice", "jitter")
_RELATIVE = ("level", "contrast", "noise")
_SCALES: Mapping[str, float] = {"level": 1.0, "contrast": 1.0, "noise": 1.0, "lattice": 3.0, "jitter": 1.0}
"""What one unit of the setting `instrument_change` is: a share of the value for the first three, three decades, a logarithm of a ratio."""
_LEAST_SPREAD = 0.1
"""Spread of a statistic that is assumed at least, in units of the change that matters."""
_LEAST_CENTRE = 1e-6


@dataclass
class InstrumentWatch:
    """The frame statistics' signals, and what follows for the instrument.

    latest : the last frame's statistics
    changed_for : frames in a row in which one of them was far enough off to matter
    alarm : the frames have changed
    lost : and the members have lost agreement since
    """

    signals: dict[str, Signal] = field(default_factory=lambda: {name: Signal() for name in STATISTICS})
    latest: FrameStatistics | None = None
    changed_for: int = 0
    alarm: Alarm = field(default_factory=Alarm)
    lost: Alarm = field(default_factory=Alarm)

    def forget(self) -> None:
        """Learn anew what is normal."""
        for signal in self.signals.values():
            signal.forget()
        self.changed_for = 0

    def see(self, statistics: FrameStatistics, settings: DriftSettings) -> None:
        """Take one frame."""
        self.latest = statistics
        for name, signal in self.signals.items():
            value = float(getattr(statistics, name))
            if signal.reference is not None:
                signal.watch(value - signal.reference.centre, settings, self._matters(name, settings), both=True)
            elif (values := signal.learn(value, settings.window)) is not None:
                least = _LEAST_SPREAD * _unit(name, float(np.median(values)), settings)
                signal.know(learn(values, settings.smoothing, least))
        self.changed_for = self.changed_for + 1 if any(self._has_changed(name, settings) for name in STATISTICS) else 0

    def moved(self, name: str) -> float:
        """How far a statistic has moved: a share for level, contrast and noise, decades for lattice, a logarithm for jitter."""
        signal = self.signals[name]
        return signal.moved / max(abs(signal.reference.centre), _LEAST_CENTRE) if name in _RELATIVE and signal.reference is not None else signal.moved

    def beyond(self, settings: DriftSettings) -> str | None:
        """The statistic that has left what was normal, the one that matters most where several have."""
        gone = [name for name in STATISTICS if self.signals[name].beyond(settings, self._matters(name, settings), both=True)]
        return self._most(gone, settings)

    def back(self, settings: DriftSettings) -> bool:
        """Whether all statistics are what they were."""
        return all(signal.back(settings) for signal in self.signals.values())

    def _has_changed(self, name: str, settings: DriftSettings) -> bool:
        signal = self.signals[name]
        known = signal.reference
        return known is not None and self._share(name, settings) > 1 and abs(signal.level) > known.ceiling(settings.smoothing)

    def _most(self, names: list[str], settings: DriftSettings) -> str | None:
        return max(names, key=lambda name: self._share(name, settings), default=None)

    def _share(self, name: str, settings: DriftSettings) -> float:
        return abs(self.signals[name].firm) / self._matters(name, settings) if self.signals[name].reference is not None else 0.0

    def _matters(self, name: str, settings: DriftSettings) -> float:
        reference = self.signals[name].reference
        return _unit(name, reference.centre if reference else 0.0, settings)


def _unit(name: str, centre: float, settings: DriftSettings) -> float:
    """The change of a statistic that matters, in its own unit."""
    return settings.instrument_change * _SCALES[name] * (max(abs(centre), _LEAST_CENTRE) if name in _RELATIVE else 1.0)
