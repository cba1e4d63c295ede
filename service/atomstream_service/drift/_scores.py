"""How far each member's answer to one frame is from the others'."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atomstream_models.analysis import Inferred
from atomstream_models.bundle import Card
from atomstream_models.each import Each
from atomstream_models.locate import find_peaks, foreground_of
from atomstream_models.neighbours import mutual_f1, neighbour_px

from ._divergence import divergence
from ._medians import Middle
from ._statistics import FrameStatistics, frame_statistics

_SAMPLES = 1 << 14
"""Divergences come from a regular subsample of about this many pixels of each map."""
_OWN_MEDIAN_BELOW = 5
"""Up to four used members are compared with the atoms of their own others; one of five or more moves the median so little that all share one."""
_LONE_RADII = 2.0
"""Where there is no neighbour to measure a distance to, atoms match within this many atom radii."""
_UNFIT = ("blank", "rows_missing")

Map = NDArray[np.float32]


@dataclass(frozen=True)
class MemberScores:
    """One member against the median of the other used members, 0 where they agree.

    divergence : mean Jensen-Shannon divergence in bits, 0 to 1, over the pixels where either sees an atom
    misplaced : 1 - F1 of its own atoms against the others', 0 to 1
    count : |log((its atoms + 1) / (the others' atoms + 1))|
    """

    divergence: float
    misplaced: float
    count: float


@dataclass(frozen=True)
class FrameScores:
    """All that drift is judged by, of one frame.

    seq : the frame's number in its stream
    members : used member -> its scores; empty for fewer than two, who have nobody to differ from
    shadows : member that ran beside them -> its scores against all used ones
    spread : mean std of the used members over the pixels where their median sees an atom, 0 where it sees none
    atoms : how many atoms the used members' median holds; 0 where one ran alone
    statistics : what the frame itself tells
    unfit : why the frame says nothing of drift (`blank`, `rows_missing`, `partial`); None where it does
    """

    seq: int
    members: Mapping[str, MemberScores]
    shadows: Mapping[str, MemberScores]
    spread: float
    atoms: int
    statistics: FrameStatistics
    unfit: str | None = None


@dataclass(frozen=True)
class _Atoms:
    yx: NDArray[np.float64]
    radius_px: float

    @cached_property
    def match_px(self) -> float:
        """Half the typical distance between neighbours."""
        apart = neighbour_px(self.yx)
        return apart / 2 if math.isfinite(apart) else _LONE_RADII * max(self.radius_px, 1.0)


def score_frame(
    seq: int,
    image: NDArray[Any],
    inferred: Inferred,
    card: Card,
    shadows: Mapping[str, Inferred] | None = None,
    *,
    complete: bool = True,
    each: Each = map,
) -> FrameScores:
    """The scores of one answered frame; costs about a tenth of what its members did.

    image : the frame as it came, shape (rows, columns)
    inferred : what the used members made of it
    shadows : shadow member -> the answer that holds its map, as the engine keeps them
    complete : False for a frame of a scan that still runs
    each : how to go through the members
    """
    unfit = next((flag for flag in _UNFIT if flag in inferred.prepared.flags), None if complete else "partial")
    if unfit is not None or not inferred.maps:
        return FrameScores(seq, {}, {}, 0.0, 0, FrameStatistics(0.0, 0.0, 0.0, 0.0, 0.0), unfit or "blank")
    if len(inferred.maps) == 1 and not shadows:
        return FrameScores(seq, {}, {}, 0.0, 0, frame_statistics(image))
    own = {member: answer.maps[answer.members_used.index(member)] for member, answer in (shadows or {}).items()}
    scored, spread, atoms = _score_maps(inferred.maps, list(own.values()), card.threshold, each)
    return FrameScores(
        seq,
        dict(zip(inferred.members_used, scored[: len(inferred.maps)], strict=True)) if len(inferred.maps) > 1 else {},
        dict(zip(own, scored[len(inferred.maps) :], strict=True)),
        spread,
        atoms,
        frame_statistics(image),
    )


def make_ready() -> None:
    """Have what `score_frame` needs compiled, beside what `locate.make_ready` does."""
    one = np.zeros((1, 2))
    mutual_f1(one, one, 1.0)


def _score_maps(used: Sequence[Map], beside: Sequence[Map], threshold: float, each: Each) -> tuple[list[MemberScores], float, int]:
    step = _stride(used[0].shape[1:])
    thin = [one[:, ::step, ::step].reshape(len(one), -1) for one in (*used, *beside)]
    whole = [foreground_of(one) for one in (*used, *beside)]
    n = len(used)
    if n == 1:
        middle_thin, middle = thin[0], whole[0]
        others_thin, others = [middle_thin] * len(thin), None
    else:
        middles_thin, middles = Middle(thin[:n]), Middle(whole[:n])
        middle_thin, middle = middles_thin.of_all(), middles.of_all()
        others_thin = [middles_thin.without(one) for one in thin[:n]] + [middle_thin] * len(beside)
        others = [middles.without(one) for one in whole[:n]] if n < _OWN_MEDIAN_BELOW else None
    found = list(each(lambda one: _atoms(one, threshold), (*whole, middle, *(others or ()))))
    own, consensus, rest = found[: len(whole)], found[len(whole)], found[len(whole) + 1 :]
    against = rest + [consensus] * (len(whole) - len(rest))

    def score(k: int) -> MemberScores:
        return _score(thin[k], others_thin[k], own[k], against[k], threshold)

    scores = list(each(score, range(len(thin))))
    seen = middle_thin.sum(axis=0) > threshold
    spread = float(np.mean(np.std([one[:, seen] for one in thin[:n]], axis=0))) if seen.any() and n > 1 else 0.0
    return scores, spread, len(consensus.yx)


def _score(thin: Map, other: Map, own: _Atoms, against: _Atoms, threshold: float) -> MemberScores:
    inside = (thin.sum(axis=0) > threshold) | (other.sum(axis=0) > threshold)
    return MemberScores(
        divergence(thin, other, inside),
        1 - mutual_f1(own.yx, against.yx, against.match_px),
        abs(math.log((len(own.yx) + 1) / (len(against.yx) + 1))),
    )


def _atoms(foreground: Map, threshold: float) -> _Atoms:
    peaks, radius_px = find_peaks(foreground, threshold)
    return _Atoms(np.column_stack(np.divmod(peaks, foreground.shape[1])).astype(np.float64), radius_px)


def _stride(shape: tuple[int, ...]) -> int:
    return max(1, math.isqrt(shape[0] * shape[1] // _SAMPLES))
