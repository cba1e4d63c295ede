"""Frames answered stage by stage, the cases taking turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atomstream_models.analysis import finish, infer, prepare
from atomstream_models.runtime import LoadedEnsemble, processors
from atomstream_models.simulation import SimulatedMicroscope

STAGES = ("prepare", "infer", "locate", "total")


@dataclass(frozen=True)
class Case:
    """What is measured: frames of side x side pixels through the first `members` members, run in `way`."""

    side: int
    members: int
    way: str


@dataclass(frozen=True)
class Spread:
    """Milliseconds: median, 95th and 99th percentile, least."""

    median: float
    p95: float
    p99: float
    least: float


@dataclass(frozen=True)
class Measured:
    """One case.

    at_once : how many members run side by side
    stages : prepare (gate, scale, normalise, pad), infer (members, mean, std), locate, total; ms
    frames : how many were answered
    atoms : on a frame, the median
    """

    case: Case
    at_once: int
    stages: Mapping[str, Spread]
    frames: int
    atoms: int

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def measure(
    ensembles: Mapping[str, LoadedEnsemble], cases: Sequence[Case], rounds: int, seed: int = 7, say: Callable[[str], None] = lambda text: None
) -> list[Measured]:
    """Answer simulated frames in each case, one a round in turns, so that a busy moment of the machine hits all alike.

    ensembles : by the names of the ways
    say : told before each round
    """
    frames = {side: _frames(side, seed) for side in {case.side for case in cases}}
    times: dict[Case, dict[str, list[float]]] = {case: {stage: [] for stage in STAGES} for case in cases}
    atoms: dict[Case, list[int]] = {case: [] for case in cases}
    with ThreadPoolExecutor(processors(), thread_name_prefix="helper") as helpers:
        for turn in range(-1, rounds):
            say(f"round {turn + 1} of {rounds}" if turn >= 0 else "warming up")
            for case in cases:
                images, pixel_nm = frames[case.side]
                took, found = _answer(ensembles[case.way], case, images[turn % len(images)], pixel_nm, helpers)
                if turn >= 0:
                    atoms[case].append(found)
                    for stage, ms in took.items():
                        times[case][stage].append(ms)
    return [
        Measured(case, ensembles[case.way].at_once, {stage: _spread(times[case][stage]) for stage in STAGES}, rounds, int(np.median(atoms[case])))
        for case in cases
    ]


def _frames(side: int, seed: int) -> tuple[list[NDArray[np.uint16]], float]:
    microscope = SimulatedMicroscope(seed, (side, side))
    made = [microscope.next_frame() for _ in range(3)]
    return [one.image for one in made], made[0].pixel_nm


def _answer(ensemble: LoadedEnsemble, case: Case, image: NDArray[np.uint16], pixel_nm: float, helpers: ThreadPoolExecutor) -> tuple[dict[str, float], int]:
    card = ensemble.card
    begun = time.perf_counter()
    prepared = prepare(image, (pixel_nm, pixel_nm), card)
    ready = time.perf_counter()
    inferred = infer(prepared, card, card.member_ids[: case.members], ensemble.answer, helpers.map)
    answered = time.perf_counter()
    answer = finish(inferred, card, helpers.map)
    done = time.perf_counter()
    clock = dict(zip(STAGES, ((begun, ready), (ready, answered), (answered, done), (begun, done)), strict=True))
    return {stage: 1000 * (end - start) for stage, (start, end) in clock.items()}, len(answer.atoms)


def _spread(ms: Sequence[float]) -> Spread:
    median, p95, p99 = (float(np.percentile(ms, q)) for q in (50, 95, 99))
    return Spread(median, p95, p99, min(ms))
