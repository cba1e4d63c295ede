from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

Attribute = str | int | float | Sequence[str]


@dataclass(frozen=True)
class Stage:
    """One step of something; start and end in seconds since the epoch."""

    name: str
    start_s: float
    end_s: float


class Traces(Protocol):
    """Where spans go, made after the fact from times that were noted anyway. Safe from any thread; never waits for the collector."""

    def add(
        self,
        whole: Stage,
        stages: Sequence[Stage] = (),
        attributes: Mapping[str, Attribute] | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        failed: bool = False,
    ) -> None:
        """One span, and one under it for each stage.

        headers : of the request that it belongs to; a `traceparent` among them makes it part of the caller's trace
        failed : mark it as an error
        """

    def close(self) -> None:
        """Send what waits, as far as the collector takes it within a few seconds."""
