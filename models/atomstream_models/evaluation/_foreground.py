"""The members' maps seen as one class, atom, and each member seen alone."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..analysis import Answer, Grid, Inferred, finish
from ..bundle import Card
from ..combine import mean_std
from ._truth import Truth


@dataclass(frozen=True)
class Foreground:
    """Probability of any atom, on the network's grid.

    members : one ndarray a member, shape (rows, columns)
    mean : ndarray, the same shape
    std : ndarray, the same shape, None where fewer than two members were used
    """

    members: tuple[NDArray[np.float32], ...]
    mean: NDArray[np.float32]
    std: NDArray[np.float32] | None


def foreground(inferred: Inferred) -> Foreground:
    """The sum over classes of every member's map, at most 1, with its mean and its std over the members."""
    if not inferred.maps:
        return Foreground((), np.zeros(inferred.mean.shape[1:], np.float32), None)
    members = tuple(one[0] if len(one) == 1 else np.minimum(one.sum(axis=0), np.float32(1)) for one in inferred.maps)
    return Foreground(members, *mean_std(members))


def member_answers(inferred: Inferred, card: Card) -> tuple[Answer, ...]:
    """What each used member would answer if it were alone, in order."""
    return tuple(
        finish(replace(inferred, members_used=(member,), maps=(one,), mean=one, std=None), card)
        for member, one in zip(inferred.members_used, inferred.maps, strict=True)
    )


def on_grid(truth: Truth, grid: Grid) -> Truth:
    """A frame's truth in the pixels of the network's grid."""
    if not grid.resampled:
        return truth
    scale = np.array(grid.scale)
    pixel_nm = None if truth.pixel_nm is None else truth.pixel_nm / float(scale.mean())
    return replace(truth, atoms_yx=(truth.atoms_yx + 0.5) * scale - 0.5, match_px=truth.match_px * float(scale.mean()), pixel_nm=pixel_nm)
