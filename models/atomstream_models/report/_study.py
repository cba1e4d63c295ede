"""What a report of an evaluation is about."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..analysis import Answer
from ..evaluation import Detection, Evaluation, FrameFigures, Truth, detection, pooled
from ._draw import AFTER, BEFORE

ABOUT_LOG = (
    "atoms are taken as maxima of the Laplacian of Gaussian (LoG), without any network. Its scale (the size of the blobs) and its threshold follow from each "
    "frame by themselves: from the lattice where one shows in the power spectrum, elsewhere from what stands out most."
)
"""What `atomstream_models.baseline.log_atoms` does unless it is told a scale or a threshold."""


@dataclass(frozen=True)
class Judged:
    """An ensemble with what was found out about it.

    name : what the report calls it, such as "before"
    evaluation : its figures
    answers : frame number -> its answer, for the frames that are shown
    members : frame number -> member id -> map (classes, rows, columns), for the frames whose members are shown
    """

    name: str
    evaluation: Evaluation
    answers: Mapping[int, Answer]
    members: Mapping[int, Mapping[str, NDArray[np.floating]]]

    def figures(self, frame: int) -> FrameFigures:
        """Its figures of one frame; KeyError where there are none."""
        return {one.frame: one for one in self.evaluation.frames}[frame]


@dataclass(frozen=True)
class Baseline:
    """What a classical finder makes of the same frames.

    name : of the finder
    atoms : frame number -> ndarray, shape (N, 2+), y, x first, in pixels
    scores : frame number -> its score, for frames with a truth
    overall : the scores pooled, None without a truth
    about : what it is and how it was set, in a sentence or two
    """

    atoms: Mapping[int, NDArray[np.floating]]
    scores: Mapping[int, Detection]
    overall: Detection | None
    name: str = "LoG"
    about: str = ""


def baseline_of(atoms: Mapping[int, NDArray[np.floating]], truths: Mapping[int, Truth] | None = None, name: str = "LoG", about: str = ABOUT_LOG) -> Baseline:
    """A classical finder's atoms (frame number -> (N, 2+); y, x first, in pixels), scored where there is a truth."""
    scores = {frame: detection(one, truths[frame]) for frame, one in atoms.items() if truths and frame in truths}
    return Baseline(atoms, scores, pooled(scores.values()) if scores else None, name, about)


@dataclass(frozen=True)
class Study:
    """Everything that a report of an evaluation shows.

    ensemble : the one that is evaluated
    images : frame number -> frame (rows, columns), for the frames that are shown
    before : the ensemble that it was refined from
    truths : frame number -> truth
    baseline : a classical finder beside them
    chosen : members to mark in the pictures of members
    pixel_nm : pixel size in nm, None where it is unknown
    left_out : frame number -> why it could not be evaluated
    """

    ensemble: Judged
    images: Mapping[int, NDArray[Any]]
    before: Judged | None = None
    truths: Mapping[int, Truth] | None = None
    baseline: Baseline | None = None
    chosen: Collection[str] = ()
    pixel_nm: float | None = None
    left_out: Mapping[int, str] = field(default_factory=dict)

    @property
    def judged(self) -> tuple[tuple[Judged, str], ...]:
        """The ensembles with their colours, the earlier one first."""
        return ((self.ensemble, AFTER),) if self.before is None else ((self.before, BEFORE), (self.ensemble, AFTER))
