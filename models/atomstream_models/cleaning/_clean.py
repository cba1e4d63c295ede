"""All cleaning steps together, with counts for the card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ._filters import high_std, low_votes
from ._gmm import Covariance, Descriptor, patch_gmm
from ._sites import on_lattice

_ORDERED = 0.6
"""Where so many of a component's atoms in a frame continue the lattice of all, they are lattice seen through more noise than in other frames."""
_SUPPORT = (2, 3)
"""Translations to lattice that an atom needs in the first round, then in the second, in which the atoms of the first help.
An impurity disturbs the patches of the atoms around it, so that only the second round reaches it; a third would creep into amorphous matter."""


@dataclass(frozen=True)
class Cleaning:
    """Which atoms are not to be learnt from.

    window_px : side of the patches in pixels; None leaves the patch mixture out
    components, covariance, descriptor : of the patch mixture, see `patch_gmm`
    keep_sites : keep what the mixture calls disturbed where it continues the lattice (impurities, atoms at a hole's edge)
    most_std : largest p_std of an atom that is kept; None leaves this filter out
    std_quantile : share of the atoms, those of the lowest p_std, that is kept; None leaves this filter out
    least_votes : members that must see an atom themselves; None leaves this filter out
    seed : of everything random
    """

    window_px: int | None = 48
    components: int = 2
    covariance: Covariance = "diag"
    descriptor: Descriptor = "spectrum"
    keep_sites: bool = True
    most_std: float | None = None
    std_quantile: float | None = None
    least_votes: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.most_std is not None and self.std_quantile is not None:
            raise InputError("most_std and std_quantile are two ways of one filter: give one of them")


@dataclass(frozen=True)
class Cleaned:
    """What is left.

    kept : one ndarray a frame, shape (atoms,), bool
    doubtful : the same for those that went because members disagree or few see them: there may be an atom or not
    counts : `found`, then how many went for each reason (`low_votes`, `high_std`, `amorphous`), then `kept`; an atom counts under its first reason
    notes : what could not be done
    """

    kept: tuple[NDArray[np.bool_], ...]
    doubtful: tuple[NDArray[np.bool_], ...]
    counts: dict[str, int]
    notes: tuple[str, ...]


def clean(frames: Sequence[NDArray[Any]], atoms: Sequence[NDArray[np.floating]], settings: Cleaning | None = None) -> Cleaned:
    """Which of the atoms that an ensemble found in some frames are fit to be labels.

    First go atoms that few members see and those that the members disagree on, over all frames together; then, of
    what is left, those in amorphous matter.

    frames : arrays (rows, columns), finite
    atoms : for each frame an array (N, 10), columns of `locate.COLUMNS`

    Raises
    ------
    InputError
        for settings that make no sense.
    ExtraMissing
        without scikit-learn, where the patch mixture is wanted.
    """
    how = settings or Cleaning()
    ends = np.cumsum([len(one) for one in atoms])[:-1]
    pooled = np.concatenate(list(atoms)) if atoms else np.empty((0, 10))
    kept, counts, notes = np.ones(len(pooled), bool), {"found": len(pooled)}, []

    def drop(reason: str, bad: NDArray[np.bool_]) -> None:
        counts[reason] = int(np.count_nonzero(bad & kept))
        kept[bad] = False

    if how.least_votes is not None:
        drop("low_votes", low_votes(pooled, how.least_votes))
    if how.most_std is not None or how.std_quantile is not None:
        drop("high_std", high_std(pooled, most=how.most_std, quantile=how.std_quantile))
    doubtful = ~kept
    if how.window_px is not None and atoms:
        left = [one[share] for one, share in zip(atoms, np.split(kept, ends), strict=True)]
        fine, note = _in_lattice(frames, left, how.window_px, how)
        notes += [note] if note else []
        bad = np.zeros(len(pooled), bool)
        bad[kept] = ~np.concatenate(fine)
        drop("amorphous", bad)
    counts["kept"] = int(kept.sum())
    parts = [tuple(np.split(one, ends)) if atoms else () for one in (kept, doubtful)]
    return Cleaned(parts[0], parts[1], counts, tuple(notes))


def _in_lattice(frames: Sequence[NDArray[Any]], atoms: Sequence[NDArray[np.floating]], window_px: int, how: Cleaning) -> tuple[list[NDArray[np.bool_]], str]:
    classes = patch_gmm(frames, atoms, window_px=window_px, components=how.components, covariance=how.covariance, descriptor=how.descriptor, seed=how.seed)
    fine = list(classes.in_lattice)
    for one, labels, yx in zip(fine, classes.labels, atoms, strict=True):
        for component in set(labels[~one].tolist()):
            mine = labels == component
            ordered = on_lattice(yx[mine, :2], yx[:, :2], support=_SUPPORT[-1])
            if ordered.mean() >= _ORDERED:
                one[mine] |= ordered
        if how.keep_sites and classes.lattice:
            for support in _SUPPORT:
                one[~one] = on_lattice(yx[~one, :2], yx[one, :2], support=support)
    return fine, classes.note
