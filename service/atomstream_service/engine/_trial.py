"""The first frames of a new ensemble, with the last good one still at hand."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ._work import Active


@dataclass(frozen=True)
class Trial:
    """A new ensemble on trial.

    last_good : the state before it, still loaded
    frames_left : frames that it has to answer yet
    generation : the number under which the last good state reports if it has to come back
    """

    last_good: Active
    frames_left: int
    generation: int

    def passed_one(self) -> Trial:
        return replace(self, frames_left=self.frames_left - 1)

    def brought_back(self) -> Active:
        """The last good state under the number kept for it."""
        return replace(self.last_good, generation=self.generation)


@dataclass(frozen=True)
class Reverted:
    """A trial that failed: the ensemble that was tried, the generation from which the last good one answers again, and why."""

    name: str
    version: str
    sha256: str
    tried_generation: int
    generation: int
    reason: str
