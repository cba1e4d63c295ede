"""A request's frames, answered one by one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...transport import CommandRefused
from .._refusal import RequestRefused
from .._single import Answered
from .._wish import EnsembleRef

Infer = Callable[[NDArray[Any]], Answered]
"""Answers one frame."""


@dataclass(frozen=True)
class Batch:
    """What several frames give.

    outputs : name -> array; atoms of all frames one after the other, `atoms_count` of each frame, and maps stacked. std, which takes two
        members, is NaN for a frame where it is not known, and left out where it is known for none
    parameters : how the answer came about; lists as JSON, since the protocol allows plain values only
    """

    outputs: Mapping[str, NDArray[Any]]
    parameters: Mapping[str, int | str]


def infer_batch(frames: NDArray[Any], infer: Infer, live: EnsembleRef) -> Batch:
    """Send frames one after the other, so that those of the stream get their turns in between.

    frames : ndarray, shape (N, rows, columns)
    live : the ensemble that was asked for

    Raises
    ------
    RequestRefused
        503 where the ensemble or its members changed between two frames, since their maps would not mean the same.
    CommandRefused
        naming the frame that can't be analysed.
    """
    answers = [_nth(k, frames, infer) for k in range(len(frames))]
    made_by = [answer.report["ensemble"] for answer in answers]
    if any(one["generation"] != made_by[0]["generation"] for one in made_by) or made_by[0]["sha256"] != live.sha256:
        raise RequestRefused(503, "changed_meanwhile", "the ensemble or its members changed while the frames were answered; send them again")
    return Batch(_stacked(answers), _parameters(answers))


def _nth(k: int, frames: NDArray[Any], infer: Infer) -> Answered:
    try:
        return infer(frames[k])
    except CommandRefused as error:
        if len(frames) == 1:
            raise
        raise CommandRefused(error.code, f"frame {k} of {len(frames)}: {error}") from error


def _stacked(answers: Sequence[Answered]) -> dict[str, NDArray[Any]]:
    atoms = [answer.arrays["atoms"] for answer in answers]
    outputs: dict[str, NDArray[Any]] = {"atoms": np.concatenate(atoms), "atoms_count": np.array([len(one) for one in atoms], "<i4")}
    for name in ("mean", "std"):
        maps = [answer.arrays.get(name) for answer in answers]
        if (known := next((one for one in maps if one is not None), None)) is not None:
            outputs[name] = np.stack([np.full_like(known, np.nan) if one is None else one for one in maps])
    return outputs


def _parameters(answers: Sequence[Answered]) -> dict[str, int | str]:
    first = answers[0].report
    return {
        "generation": first["ensemble"]["generation"],
        "sha256": first["ensemble"]["sha256"],
        "classes": json.dumps(first["classes"]),
        "members_used": json.dumps([answer.report["members_used"] for answer in answers]),
        "flags": json.dumps([answer.report["flags"] for answer in answers]),
    }
