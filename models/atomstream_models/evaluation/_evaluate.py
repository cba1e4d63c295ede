"""An ensemble's answers to a set of frames, judged."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..ahead import ahead
from ..analysis import Answer, Grid, Inferred, finish
from ..bundle import Card
from ..errors import InputError
from ..neighbours import nearest_px
from ._agreement import Agreement, agreement, mean_agreement
from ._calibration import Calibration, CalibrationCounts
from ._convergence import Convergence, mean_convergence, std_convergence
from ._detection import Comparison, Detection, class_detections, compare, detection, pooled
from ._foreground import Foreground, foreground, member_answers, on_grid
from ._ranks import Levels
from ._truth import Truth, matching_radius_px

_JUDGES = 2
"""Frames judged at the same time; more would wait for the members, and hold their maps."""
_ALONE_PX = 5.0
"""Radius within which two members' atoms are the same where a frame has too few for a distance between neighbours."""


@dataclass(frozen=True)
class FrameFigures:
    """What was found in one frame.

    frame : its number
    atoms : ndarray, shape (N, 10), columns of `atomstream_models.locate.COLUMNS`
    members_used : whose maps these figures are of; empty for a blank frame
    member_atoms : how many atoms each of them finds by itself
    agreement : None for a blank frame
    median_std : median over the foreground pixels, NaN where the std is unknown or there is no foreground
    flags : reasons for doubt
    compared : the atoms against the truth, None where there is none, as are the next three
    overall : score whatever the class
    by_class : score of each class, None also where the truth has no classes
    by_member : score of each used member's own atoms
    """

    frame: int
    atoms: NDArray[np.float32]
    members_used: tuple[str, ...]
    member_atoms: tuple[int, ...]
    agreement: Agreement | None
    median_std: float
    flags: tuple[str, ...]
    compared: Comparison | None = None
    overall: Detection | None = None
    by_class: tuple[Detection, ...] | None = None
    by_member: tuple[Detection, ...] | None = None


@dataclass(frozen=True)
class Evaluation:
    """An ensemble's answers to a set of frames, judged.

    name : of the ensemble
    members, classes : of the ensemble; members that were used
    pixel_nm : pixel size of the frames in nm, None where it is unknown
    frames : figures of every frame
    agreement : average over the frames, None where all were blank
    median_std : median over the foreground pixels of all frames, NaN where there are none
    calibration : None without a truth
    convergence : average over the frames, None for fewer than two members
    """

    name: str
    members: tuple[str, ...]
    classes: tuple[str, ...]
    pixel_nm: float | None
    frames: tuple[FrameFigures, ...]
    agreement: Agreement | None
    median_std: float
    calibration: Calibration | None
    convergence: Convergence | None

    @property
    def overall(self) -> Detection | None:
        """Score over all frames with a truth, whatever the class; None without one."""
        parts = [one.overall for one in self.frames if one.overall is not None]
        return pooled(parts) if parts else None

    @property
    def by_class(self) -> tuple[Detection, ...] | None:
        """Score of each class over all frames with a truth; None where it has no classes."""
        parts = [one.by_class for one in self.frames if one.by_class is not None]
        return tuple(pooled(column) for column in zip(*parts, strict=True)) if parts else None

    @property
    def by_member(self) -> dict[str, Detection]:
        """Score of each member's own atoms over all frames with a truth, by id; empty without one."""
        parts: dict[str, list[Detection]] = {}
        for one in self.frames:
            for member, score in zip(one.members_used, one.by_member or (), strict=False):
                parts.setdefault(member, []).append(score)
        return {member: pooled(scores) for member, scores in parts.items()}

    @property
    def member_spread(self) -> float:
        """Difference between the best and the worst member's own F1; NaN without a truth."""
        scores = [score.f1 for score in self.by_member.values()]
        return max(scores) - min(scores) if scores else math.nan

    @property
    def nearest_px(self) -> NDArray[np.float64]:
        """Nearest-neighbour distances of all atoms in all frames, in pixels."""
        return np.concatenate([nearest_px(one.atoms) for one in self.frames])


def evaluate(
    looked: Iterable[tuple[int, Inferred]],
    card: Card,
    truths: Mapping[int, Truth] | None = None,
    *,
    pixel_nm: float | None = None,
    match_px: float | None = None,
    disc_px: float | None = None,
    seed: int = 0,
) -> Evaluation:
    """Judge an ensemble's answers, some frames at a time; only figures are kept, so a movie may be as long as it likes.

    Without a truth there are counts, agreement, std and lattice figures only.

    looked : frame numbers with what the members said
    card : the ensemble's
    truths : frame number -> truth, for the frames that have one; its class numbers are those of the card
    pixel_nm : pixel size of the frames in nm
    match_px : how far apart two members may place the same atom, in pixels of the frame; by default the truth's radius, without one 0.35 of the
        frame's median nearest-neighbour distance, for fewer than two atoms 5 px
    disc_px : radius of the discs that stand for true atoms where pixels are judged, in pixels of the network's grid; by default that of a circle
        with the median area of the frame's found atoms, because an ensemble's own size of atoms is a choice of its training
    seed : of the random subsets of the convergence

    Raises
    ------
    InputError
        where there is no frame.
    """
    figures, calibration, stds = [], CalibrationCounts(), Levels()
    convergences: list[Convergence] = []
    members: tuple[str, ...] = ()

    def judge(one: tuple[int, Inferred]) -> _Judged:
        frame, inferred = one
        return _judge(frame, inferred, card, (truths or {}).get(frame), match_px, seed)

    for one in ahead(judge, looked, _JUDGES):
        members = members or one.figures.members_used
        if one.seen.std is not None:
            stds.add(one.seen.std[one.seen.mean > card.threshold])
        if one.convergence is not None:
            convergences.append(one.convergence)
        if one.truth is not None and one.figures.compared is not None:
            placed = on_grid(one.truth, one.grid)
            calibration.add_pixels(one.seen.mean, one.seen.std, card.threshold, placed, disc_px or _disc_px(one.figures.atoms, one.truth, placed))
            calibration.add_atoms(one.figures.atoms, one.figures.compared)
        figures.append(one.figures)
    if not figures:
        raise InputError("there is no frame to evaluate")
    return Evaluation(
        name=f"{card.name} {card.version}",
        members=members,
        classes=card.classes,
        pixel_nm=pixel_nm,
        frames=tuple(figures),
        agreement=mean_agreement([one.agreement for one in figures if one.agreement is not None]),
        median_std=stds.median,
        calibration=calibration.result(),
        convergence=mean_convergence(convergences),
    )


@dataclass(frozen=True)
class _Judged:
    """What one frame adds to the whole."""

    figures: FrameFigures
    seen: Foreground
    convergence: Convergence | None
    truth: Truth | None
    grid: Grid


def _judge(frame: int, inferred: Inferred, card: Card, truth: Truth | None, match_px: float | None, seed: int) -> _Judged:
    answer, seen = finish(inferred, card), foreground(inferred)
    alone = [one.atoms for one in member_answers(inferred, card)]
    radius = match_px or (_radius(answer.atoms) if truth is None else truth.match_px)
    figures = _frame(frame, answer, seen, alone, card.threshold, radius)
    if truth is not None:
        figures = _with_truth(figures, alone, truth, compare(answer.atoms, truth), len(card.classes))
    return _Judged(figures, seen, std_convergence(inferred.maps, seed=seed), truth, inferred.prepared.grid)


def _frame(frame: int, answer: Answer, seen: Foreground, alone: Sequence[NDArray[np.float32]], threshold: float, match_px: float) -> FrameFigures:
    front = seen.mean > threshold
    return FrameFigures(
        frame=frame,
        atoms=answer.atoms,
        members_used=answer.members_used,
        member_atoms=tuple(len(one) for one in alone),
        agreement=agreement(alone, [one > threshold for one in seen.members], match_px) if alone else None,
        median_std=float(np.median(seen.std[front])) if seen.std is not None and front.any() else math.nan,
        flags=answer.flags,
    )


def _with_truth(figures: FrameFigures, alone: Sequence[NDArray[np.float32]], truth: Truth, compared: Comparison, classes: int) -> FrameFigures:
    return replace(
        figures,
        compared=compared,
        overall=detection(figures.atoms, truth, compared),
        by_class=None if truth.kinds is None else class_detections(figures.atoms, truth, classes, compared),
        by_member=tuple(detection(one, truth) for one in alone),
    )


def _radius(atoms: NDArray[np.float32]) -> float:
    return matching_radius_px([atoms]) if len(atoms) > 1 else _ALONE_PX


def _disc_px(atoms: NDArray[np.float32], truth: Truth, placed: Truth) -> float:
    """Radius of a circle of the atoms' median area, in pixels of the grid that `placed` is on; half the matching radius where none was found."""
    if not len(atoms):
        return placed.match_px / 2
    return math.sqrt(float(np.median(atoms[:, 8])) / math.pi) * placed.match_px / truth.match_px
