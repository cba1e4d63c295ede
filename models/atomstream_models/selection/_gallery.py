"""All members side by side, as figure 2 of the paper shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..analysis import Inferred
from ..errors import InputError
from ..report import MembersRow, members_figure
from ._choose import rank
from ._score import MemberScores

_ACROSS = 8
"""Members in a row at most; more are shared out over several bands."""


def gallery(
    frames: Sequence[NDArray[Any]],
    inferred: Sequence[Inferred],
    scores: Sequence[MemberScores],
    *,
    chosen: Sequence[str] = (),
    names: Sequence[str] = (),
    pixel_nm: float | None = None,
) -> bytes:
    """A PNG with every member's own map (all atom classes together) of each frame, the least artifacts first, the chosen ones framed and ticked.

    Each row is a frame, beginning with the frame itself; above each column stand the member and its combined artifact score, on
    each map that frame's own. All maps share one scale, 0 to 1.

    frames, inferred : frames and the answers to them, in order; blank ones show as empty maps
    scores : of the members, see `score_members`; their `by_frame` is written on the maps where it has one number for each of these frames
    names : of the frames, to stand above them
    pixel_nm : pixel size in nm for the scale bar

    Raises
    ------
    InputError
        where frames, answers and names differ in number, or there is no frame or no member.
    ExtraMissing
        without matplotlib.
    """
    if not frames or len(frames) != len(inferred) or (names and len(names) != len(frames)):
        raise InputError(f"{len(frames)} frames came with {len(inferred)} answers and {len(names)} names")
    if not scores:
        raise InputError("there is no member to show")
    ranked = rank(scores)
    rows = [
        MembersRow(
            name=names[k] if names else f"frame {k}",
            image=frame,
            maps={one.member: _foreground(answer, one.member) for one in ranked},
            notes={one.member: f"{one.by_frame[k]:.3f}" for one in ranked if len(one.by_frame) == len(frames)},
        )
        for k, (frame, answer) in enumerate(zip(frames, inferred, strict=True))
    ]
    titles = {one.member: f"{one.member}  {one.artifact:.3f}" for one in ranked}
    return members_figure(rows, names=titles, marked=chosen, across=_ACROSS, pixel_nm=pixel_nm).data


def _foreground(answer: Inferred, member: str) -> NDArray[np.float32]:
    """A member's probability of any atom, shape (1, rows, columns); nothing for a blank frame."""
    maps = answer.maps[answer.members_used.index(member)] if member in answer.members_used else answer.mean
    foreground: NDArray[np.float32] = np.minimum(maps.sum(axis=0, keepdims=True), 1)
    return foreground
