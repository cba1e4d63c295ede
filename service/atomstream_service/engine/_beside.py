"""What runs beside the live ensemble on every Nth frame and never counts."""

from __future__ import annotations

from dataclasses import dataclass

from atomstream_models.analysis import Inferred
from atomstream_models.bundle import Card


@dataclass(frozen=True)
class CandidateRun:
    """What a candidate ensemble made of a frame: its card, its maps, and how long its members took."""

    card: Card
    inferred: Inferred
    infer_ms: float


@dataclass(frozen=True)
class Beside:
    """What ran beside a frame.

    shadows : maps of the members in shadow; None where there is none, or one of them failed
    candidate : what the candidate made of it; None where there is none, or it failed
    """

    shadows: Inferred | None = None
    candidate: CandidateRun | None = None
