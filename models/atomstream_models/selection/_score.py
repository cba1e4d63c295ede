"""Artifact scores of all members over some frames."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..analysis import Inferred
from ..baseline import blob_strength, filled
from ..errors import InputError
from ..locate import locate
from . import _artifacts as artifacts
from ._lattice import Consensus, consensus

WEIGHTS: Mapping[str, float] = {
    "fog": 0.2,
    "vacuum": 0.15,
    "off_lattice": 0.2,
    "shape": 0.1,
    "spacing": 0.1,
    "disagreement": 0.15,
    "detection": 0.1,
}
"""What each artifact counts in the combined score. Those that a frame can't show (no lattice, a single member) are left out and the rest scaled up."""

_SCALE_OF_NEIGHBOUR = 0.27
_SUPPORT_SCALE_PX = 3.0


@dataclass(frozen=True)
class MemberScores:
    """How free of artifacts a member's answers are; every score runs from 0 (good) to 1 (bad), NaN where it can't be said.

    member : its id
    artifact : all together, see `WEIGHTS`
    fog : share of the probability outside compact blobs
    vacuum : share of atoms where the frame shows no blob
    off_lattice : share of atoms that don't continue the lattice (amorphous matter, holes, between sites)
    shape : share of blobs of odd size or odd shape
    spacing : share of atoms whose nearest neighbour is too near or too far
    disagreement : median 1 - F1 with the other members
    detection : 1 - ratio of the number of atoms to the members' median
    atoms : mean number of atoms in a frame
    by_frame : the combined score of each frame, NaN for a blank one
    """

    member: str
    artifact: float
    fog: float
    vacuum: float
    off_lattice: float
    shape: float
    spacing: float
    disagreement: float
    detection: float
    atoms: float
    by_frame: tuple[float, ...]

    @property
    def parts(self) -> dict[str, float]:
        """The single scores by name."""
        return {name: getattr(self, name) for name in WEIGHTS}


def score_members(
    frames: Iterable[NDArray[Any]], inferred: Iterable[Inferred], threshold: float, *, expected_neighbour_px: float | None = None
) -> tuple[MemberScores, ...]:
    """Artifact scores of each member, averaged over frames, in the members' order.

    Labels are not needed: the frame itself, the lattice in the members' median answer and the members among themselves
    say what is unphysical (Ghosh et al. 2021, figure 2: foggy lattice, atoms in amorphous matter, atoms in the hole).
    Of the answers only a few frames' are held at a time.

    frames : arrays (rows, columns), finite but for missing rows
    inferred : the answers to them, in order, from `runtime.look` with all members
    threshold : foreground probability at which an atom begins
    expected_neighbour_px : distance between nearest neighbours in pixels of the frame; by default what the members' median answer has

    Raises
    ------
    InputError
        where no frame shows anything, or frames and answers differ in number.
    """
    members: tuple[str, ...] = ()
    rows: list[list[dict[str, float]] | None] = []
    for frame, answer in zip(frames, inferred, strict=True):
        if answer.members_used:
            members = answer.members_used
            rows.append(_score_frame(frame, answer, threshold, expected_neighbour_px))
        else:
            rows.append(None)
    if not members:
        raise InputError(f"none of the {len(rows)} frames shows anything that members could be scored on")
    return tuple(_pooled(member, [None if row is None else row[k] for row in rows]) for k, member in enumerate(members))


def _score_frame(frame: NDArray[Any], answer: Inferred, threshold: float, expected_px: float | None) -> list[dict[str, float]]:
    """The scores and the number of atoms (`atoms`) of each member in one frame."""
    scale = answer.prepared.grid.scale
    found = [locate(one, None, (), threshold) for one in answer.maps]
    positions = [one[:, :2].astype(np.float64) for one in found]
    common = consensus(answer.maps, threshold)
    expected = expected_px * float(np.sqrt(scale[0] * scale[1])) if expected_px else common.neighbour_px if common.periodic else float("nan")
    strength = blob_strength(filled(frame), _blob_scale_px(common, scale))
    usual = float(np.median([len(one) for one in found]))
    rows = []
    for k, (maps, atoms, yx) in enumerate(zip(answer.maps, found, positions, strict=True)):
        foreground = maps.sum(axis=0)
        radius = float(np.sqrt(np.median(atoms[:, 8]) / np.pi)) if len(atoms) else 1.0
        rows.append(
            {
                "fog": artifacts.fog(foreground, yx, radius),
                "vacuum": artifacts.vacuum(strength, (yx + 0.5) / scale - 0.5),
                "off_lattice": artifacts.off_lattice(yx, common),
                "shape": artifacts.shape(foreground, threshold),
                "spacing": artifacts.spacing(yx, expected),
                "disagreement": artifacts.disagreement(yx, positions[:k] + positions[k + 1 :], common.neighbour_px),
                "detection": artifacts.detection(len(yx), usual),
                "atoms": float(len(yx)),
            }
        )
    return rows


def _blob_scale_px(common: Consensus, scale: tuple[float, float]) -> float:
    """The scale, in pixels of the frame, at which an atom's blob answers."""
    if not common.periodic:
        return _SUPPORT_SCALE_PX
    return max(1.0, _SCALE_OF_NEIGHBOUR * common.neighbour_px / float(np.sqrt(scale[0] * scale[1])))


def _combined(parts: Mapping[str, float]) -> float:
    known = {name: weight for name, weight in WEIGHTS.items() if np.isfinite(parts[name])}
    return sum(weight * parts[name] for name, weight in known.items()) / sum(known.values())


def _pooled(member: str, rows: list[dict[str, float] | None]) -> MemberScores:
    shown = [row for row in rows if row is not None]

    def mean(name: str) -> float:
        values = [row[name] for row in shown if np.isfinite(row[name])]
        return float(np.mean(values)) if values else float("nan")

    parts = {name: mean(name) for name in WEIGHTS}
    by_frame = tuple(float("nan") if row is None else _combined(row) for row in rows)
    return MemberScores(member, _combined(parts), **parts, atoms=mean("atoms"), by_frame=by_frame)
