"""What travels along the engine's threads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from atomstream_models.analysis import Answer, Inferred
from atomstream_models.runtime import LoadedEnsemble
from atomstream_wire import EnsembleState, Failure, Frame, FrameReport

from ..members import MemberState
from ._beside import Beside


@dataclass(frozen=True)
class Active:
    """The ensemble state that one frame is answered with, whole.

    generation : counts up with every change
    states : every member's state
    selected : whether somebody has chosen members of this ensemble
    """

    ensemble: LoadedEnsemble
    generation: int
    states: Mapping[str, MemberState]
    selected: bool

    def members_in(self, state: MemberState) -> tuple[str, ...]:
        """Members in a state, in the card's order."""
        return tuple(member for member in self.ensemble.card.member_ids if self.states[member] is state)

    @property
    def label(self) -> EnsembleState:
        card = self.ensemble.card
        return EnsembleState(card.name, card.version, self.ensemble.bundle.sha256, self.generation)


@dataclass(frozen=True)
class Finished:
    """A frame with its answer, as published or answered to a request.

    active : the ensemble state that answered it
    beside : what ran beside it, once it has; None where nothing did
    stages : receive, preprocess, infer, locate and publish, in this order, each with its start and end on `time.perf_counter`
    """

    job: Job
    active: Active
    inferred: Inferred
    answer: Answer
    report: FrameReport
    beside: Future[Beside] | None
    stages: Mapping[str, tuple[float, float]]

    def shadows(self) -> Inferred | None:
        """Maps of shadow members, where they have run on this frame by now."""
        return self.beside.result().shadows if self.beside is not None and self.beside.done() else None


@dataclass(frozen=True)
class Job:
    """One frame to be answered.

    image : the channel to analyse
    channel : its name
    t_recv : seconds since the epoch at receipt
    clock_recv : the same moment on `time.perf_counter`
    done : for a single request, called with its answer or failure instead of publishing
    """

    frame: Frame
    channel: str
    image: NDArray[Any]
    t_recv: float
    clock_recv: float
    done: Callable[[Finished | Failure], None] | None = None


@dataclass(frozen=True)
class Work:
    """A job whose members have run; times on `time.perf_counter`."""

    job: Job
    active: Active
    inferred: Inferred
    clock_taken: float
    clock_prepared: float
    clock_inferred: float
    beside: Future[Beside] | None
