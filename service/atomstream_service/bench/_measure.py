"""Frames answered stage by stage, the cases taking turns, and as a stream."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atomstream_models.analysis import finish, infer, prepare
from atomstream_models.each import Each, Sharing
from atomstream_models.runtime import LoadedEnsemble, processors

from ._cases import Case
from ._frames import Frames
from ._overlap import frames_per_s
from ._spread import Spread, spread

STAGES = ("prepare", "infer", "locate", "total")
_PATIENCE_MS = 30_000.0
_LEAST = 5
"""Frames that each case gets however long they take, where as many are asked for."""
_STREAM_MS = 500.0
"""What a stream takes at least, about."""


@dataclass(frozen=True)
class Measured:
    """One case.

    at_once : how many members run side by side
    stages : prepare (gate, scale, normalise, pad), infer (members, mean, std), locate, total; ms
    frames_per_s : of a stream, where a frame's atoms are located while the next one's members run
    frames : how many were answered one by one
    atoms : on a frame, the median
    """

    case: Case
    at_once: int
    stages: Mapping[str, Spread]
    frames_per_s: float
    frames: int
    atoms: int

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def measure(
    ensembles: Mapping[str, LoadedEnsemble], cases: Sequence[Case], frames: Frames, rounds: int, say: Callable[[str], None] = lambda text: None
) -> list[Measured]:
    """Answer frames in each case, one a round in turns, so that a busy moment of the machine hits all alike; then each a stream of them.

    Slow cases leave off early.

    ensembles : by the names of the ways
    say : told before each round
    """
    times: dict[Case, dict[str, list[float]]] = {case: {stage: [] for stage in STAGES} for case in cases}
    atoms: dict[Case, list[int]] = {case: [] for case in cases}
    with Sharing(processors()) as helpers:
        for turn in range(-1, rounds):
            say(f"round {turn + 1} of {rounds}" if turn >= 0 else "warming up")
            for case in cases:
                if turn >= _LEAST and sum(times[case]["total"]) > _PATIENCE_MS:
                    continue
                took, found = _answer(ensembles[case.way], case.members, frames[turn], frames.pixel_nm, helpers.each)
                if turn >= 0:
                    atoms[case].append(found)
                    for stage, ms in took.items():
                        times[case][stage].append(ms)
        rates = {}
        for case in cases:
            say("as a stream")
            count = max(len(atoms[case]), int(_STREAM_MS / np.median(times[case]["total"])))
            rates[case] = frames_per_s(ensembles[case.way], case.members, frames, count, helpers.each)
    return [
        Measured(
            case,
            ensembles[case.way].at_once,
            {stage: spread(times[case][stage]) for stage in STAGES},
            rates[case],
            len(atoms[case]),
            int(np.median(atoms[case])),
        )
        for case in cases
    ]


def _answer(ensemble: LoadedEnsemble, members: int, image: NDArray[np.uint16], pixel_nm: float, each: Each) -> tuple[dict[str, float], int]:
    card = ensemble.card
    begun = time.perf_counter()
    prepared = prepare(image, (pixel_nm, pixel_nm), card)
    ready = time.perf_counter()
    inferred = infer(prepared, card, card.member_ids[:members], ensemble.answer, each)
    answered = time.perf_counter()
    answer = finish(inferred, card, each)
    done = time.perf_counter()
    clock = dict(zip(STAGES, ((begun, ready), (ready, answered), (answered, done), (begun, done)), strict=True))
    return {stage: 1000 * (end - start) for stage, (start, end) in clock.items()}, len(answer.atoms)
