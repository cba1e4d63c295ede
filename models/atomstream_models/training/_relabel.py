"""Labels for a refinement: what an ensemble sees in the chosen frames, cleaned, in the classes of the new ensemble."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..classify import Classification, Classified, classify
from ..cleaning import Cleaning
from ..errors import InputError
from ..labelling import Labels, label
from ..regions import Region
from ..runtime import LoadedEnsemble
from ._recipe import Recipe
from .data import ExperimentalData, disk_radius_px

_LARGEST_DISK = 1.5
"""Discs that suit the atoms' distances are too large where atoms are sparse: when they exceed the found ones' radius by this factor."""


class Relabelled(NamedTuple):
    """Labels, and what a card should tell of their classes.

    radius_px : of an atom's disc in the target
    classes : how they were told, how many atoms each has, where the brightness was cut
    """

    labels: Labels
    radius_px: float
    classes: dict[str, Any]


def relabel(
    ensemble: LoadedEnsemble,
    frames: Sequence[NDArray[Any]],
    pixel_nm: float | None,
    members: Sequence[str] | None,
    recipe: Recipe,
    data: ExperimentalData,
    leave_out: Sequence[Region] = (),
) -> Relabelled:
    """Label frames with an ensemble's chosen members, but not in the parts that are left out.

    Raises
    ------
    InputError
        where no atom is found or left, or none of a class that was to be told anew.
    """
    cleaning = Cleaning(
        window_px=data.window_px or None, components=data.components, most_std=data.most_std, std_quantile=data.std_quantile, least_votes=data.least_votes
    )
    cuts: tuple[float, ...] = ()
    by = data.classes_by or ("parent" if recipe.classes == ensemble.card.classes else "automatic")
    if len(recipe.classes) == 1:
        by = "parent"
        labels = label(ensemble, frames, pixel_nm, members, cleaning=cleaning, leave_out=leave_out)
        labels = replace(labels, kinds=tuple(np.minimum(which, 0) for which in labels.kinds))
    elif by == "parent":
        if len(recipe.classes) != len(ensemble.card.classes):
            raise InputError(f"the ensemble's classes {_list(ensemble.card.classes)} can't be kept as {_list(recipe.classes)}: set data.classes_by otherwise")
        labels = label(ensemble, frames, pixel_nm, members, cleaning=cleaning, leave_out=leave_out)
    else:
        told: list[Classified] = []
        how = Classification(by, len(recipe.classes), data.class_thresholds, seed=recipe.training.seed)

        def tell(frames: Sequence[NDArray[Any]], atoms: Sequence[NDArray[np.floating]]) -> Sequence[NDArray[np.integer]]:
            told.append(classify(frames, atoms, how))
            return told[0].labels

        labels = label(ensemble, frames, pixel_nm, members, cleaning=cleaning, classify=tell, leave_out=leave_out)
        cuts = told[0].thresholds
    counts = {name: sum(int((which == k).sum()) for which in labels.kinds) for k, name in enumerate(recipe.classes)}
    missing = [name for name, count in counts.items() if not count]
    if missing and by != "parent":
        raise InputError(f"no atom of class {_list(missing)} among the labels ({counts}), told by {by!r}: choose other frames, or set data.classes_by")
    if missing:
        labels = replace(labels, notes=(*labels.notes, f"no atom of class {_list(missing)} in the frames: the new ensemble can't find any"))
    return Relabelled(labels, data.radius_px or _radius_px(labels), {"by": by, "atoms": counts, "cuts": [round(cut, 4) for cut in cuts]})


def _radius_px(labels: Labels) -> float:
    """Of discs that suit the atoms' distances; where these are far larger than what was found, as for sparse atoms, the size of the latter."""
    areas = np.concatenate([atoms[which >= 0, 8] for atoms, which in zip(labels.atoms, labels.kinds, strict=True)])
    found = float(np.sqrt(np.median(areas) / np.pi))
    if sum(int((which >= 0).sum()) > 1 for which in labels.kinds) == 0:
        return found
    suiting = disk_radius_px(labels.positions, labels.kinds)
    return suiting if suiting <= _LARGEST_DISK * found else found


def _list(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))
