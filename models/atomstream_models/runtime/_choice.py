"""What was measured of the ways to run an ensemble, and which one was taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ._ways import Way


@dataclass(frozen=True)
class Tried:
    """One way.

    ms : milliseconds that as many members as run at once took for a frame, the median of some runs; None where it could not be measured, or
        there is no other
    complaint : why it was not taken although it may be faster, None where nothing speaks against it
    """

    way: Way
    ms: float | None
    complaint: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {**self.way.as_json(), "ms": self.ms, "complaint": self.complaint}


@dataclass(frozen=True)
class Choice:
    """The way that was taken, and why.

    shape : rows and columns of the frame that was measured on
    tried : all ways, the fastest first
    left_out : why others were not even tried
    """

    shape: tuple[int, int]
    tried: tuple[Tried, ...]
    left_out: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {"shape": list(self.shape), "tried": [one.as_json() for one in self.tried], "left_out": self.left_out}
