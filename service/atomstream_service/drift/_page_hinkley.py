"""The Page-Hinkley test for a rise of the mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

_FADE = 1 - 1e-4
"""What is left of the sum after a frame, so that rounding and ancient history fade; river's value."""
_LEAST_FRAMES = 30


@dataclass(frozen=True)
class PageHinkley:
    """Sums how far values lie above their own running mean (Page 1954, doi 10.1093/biomet/41.1-2.100), as river's detector does.

    count, mean : of the values seen
    total, lowest : the sum, and the lowest that it has been
    """

    count: int = 0
    mean: float = 0.0
    total: float = 0.0
    lowest: float = 0.0

    def after(self, value: float, slack: float) -> Self:
        """The test with one more value; `slack` is how far above the mean still counts as nothing."""
        count = self.count + 1
        mean = self.mean + (value - self.mean) / count
        total = _FADE * self.total + value - mean - slack
        return type(self)(count, mean, total, min(self.lowest, total) if self.count else total)

    def rise(self) -> float:
        """How far the sum has climbed; 0 until enough values were seen."""
        return self.total - self.lowest if self.count >= _LEAST_FRAMES else 0.0
