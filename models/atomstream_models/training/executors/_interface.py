from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from .._member import MemberJob


class Executor(Protocol):
    """Trains members, on this machine or on others."""

    def train(self, jobs: Sequence[MemberJob]) -> Iterator[int]:
        """Train each job's member; yields their numbers as they are done, their folders then hold their results.

        Raises
        ------
        TrainingFailed
            naming the member that failed, or those of which one did; those that are done stay, the others are ended.
        """
        ...
