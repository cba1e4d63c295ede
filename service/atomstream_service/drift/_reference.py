"""What is normal for one signal, learned from its first frames."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_MEDIAN_TO_STD = 1.4826
_OUTERMOST = 4.0
"""Values further out than this many standard deviations say nothing of how neighbouring frames resemble each other."""
_STRONGEST = 0.95
_TAIL = 3.09
"""Standard deviations of a normal distribution below which 99.9 % lie."""


@dataclass(frozen=True)
class Reference:
    """Centre and spread of a signal while all was well, and how far one frame foretells the next.

    centre, spread : median and robust standard deviation, in the signal's unit
    memory : correlation of neighbouring frames, 0 to 0.95, by which z-scores are whitened as an AR(1) process
    highest : the highest running level (absolute, in z-scores) that the reference itself reached
    doubt : variance of the centre, in squared spreads, which so few frames leave
    """

    centre: float
    spread: float
    memory: float
    highest: float
    doubt: float

    def z(self, value: float) -> float:
        """How many spreads a value lies above the centre."""
        return (value - self.centre) / self.spread

    def innovation(self, z: float, before: float) -> float:
        """What of a z-score the one before did not foretell, scaled to the spread of one."""
        return (z - self.memory * before) / math.sqrt(1 - self.memory**2)

    def ceiling(self, smoothing: float) -> float:
        """The running level that 99.9 % of the reference's frames stay below, in z-scores.

        The reference is too short to hold such frames, so it is worked out for an AR(1) process, or what was seen where that is higher.
        """
        kept = (1 - smoothing) * self.memory
        variance = smoothing / (2 - smoothing) * (1 + kept) / (1 - kept)
        return max(_TAIL * math.sqrt(variance + self.doubt), self.highest)


def learn(values: Sequence[float], smoothing: float, least_spread: float, centre: float | None = None) -> Reference:
    """The reference that some values make, in the order of their frames.

    smoothing : weight of the newest frame in the running level
    least_spread : spread in the signal's unit that is assumed at least
    centre : the centre, where it is known otherwise; the values then tell the rest alone
    """
    seen = np.asarray(values, np.float64)
    middle = float(np.median(seen))
    spread = max(_MEDIAN_TO_STD * float(np.median(np.abs(seen - middle))), least_spread)
    z = np.clip((seen - middle) / spread, -_OUTERMOST, _OUTERMOST)
    power = float(np.sum(z**2))
    memory = float(np.sum(z[1:] * z[:-1])) / power if power > 0 else 0.0
    # Short series look less alike than they are (Marriott and Pope 1954, doi 10.1093/biomet/41.3-4.390).
    memory = min(max(memory + (1 + 3 * memory) / len(seen), 0.0), _STRONGEST)
    level = highest = 0.0
    for one in z.tolist():
        level += smoothing * (one - level)
        highest = max(highest, abs(level))
    # The variance of a median, of frames that resemble each other.
    doubt = math.pi / 2 / len(seen) * (1 + memory) / (1 - memory)
    return Reference(middle if centre is None else centre, spread, memory, highest, doubt)
