from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..analysis import Inferred, finish
from ..bundle import Card
from ..cleaning import Cleaning, clean
from ..errors import InputError
from ..neighbours import neighbour_px
from ..regions import Region, in_regions
from ..runtime import LoadedEnsemble, look

DISCARDED = -1
"""Class of what was found but is no atom, such as amorphous matter: background."""
DOUBTFUL = -2
"""Class of what may be an atom or not: nothing is learned there."""
_WEAK = 0.3
"""Where the mean probability exceeds this share of the threshold, but not the threshold, there may be an atom."""

Classify = Callable[[Sequence[NDArray[Any]], Sequence[NDArray[np.floating]]], Sequence[NDArray[np.integer]]]
"""Takes frames and each frame's atoms (N, 2); answers each atom's class index (N,)."""


@dataclass(frozen=True)
class Labels:
    """Atoms of some frames, as an ensemble found them, fit to train another one.

    atoms : one ndarray a frame, shape (N, 10), columns of `locate.COLUMNS`
    kinds : one ndarray a frame, shape (N,), class index, or `DISCARDED` or `DOUBTFUL`
    counts : how many were found, taken out for which reason, kept
    notes : what could not be done
    """

    atoms: tuple[NDArray[np.float32], ...]
    kinds: tuple[NDArray[np.int64], ...]
    counts: dict[str, int]
    notes: tuple[str, ...]

    @property
    def positions(self) -> tuple[NDArray[np.float32], ...]:
        """One ndarray a frame, shape (N, 2), y and x in pixels."""
        return tuple(atoms[:, :2] for atoms in self.atoms)


def label(
    ensemble: LoadedEnsemble,
    frames: Sequence[NDArray[Any]],
    pixel_nm: float | None,
    members: Sequence[str] | None = None,
    *,
    cleaning: Cleaning | None = None,
    classify: Classify | None = None,
    leave_out: Sequence[Region] = (),
) -> Labels:
    """Labels for frames from the mean answer of an ensemble's chosen members (Ghosh et al. 2021: coordinates, cleaned).

    frames : arrays (rows, columns)
    pixel_nm : their pixel size in nm, None where it is unknown
    members : the artifact-free members, all by default
    cleaning : None keeps every atom
    classify : how to tell classes anew; by default an atom keeps the ensemble's class
    leave_out : parts of the frames in which what is found is neither cleaned nor a label, but doubtful

    Raises
    ------
    InputError
        where no atom is found, or none is left.
    FrameRefused
        for a frame that can't be processed.
    """
    if not frames:
        raise InputError("no frame to label")
    seen = [_seen(inferred, ensemble.card) for inferred in look(ensemble, frames, pixel_nm, members)]
    out = [in_regions(one, leave_out) for one, _ in seen]
    atoms = tuple(one[~left] for (one, _), left in zip(seen, out, strict=True))
    unsure = tuple(np.concatenate([weak, one[left]]) for (one, weak), left in zip(seen, out, strict=True))
    found = sum(map(len, atoms))
    if not found:
        where = " outside the regions that are left out" if any(left.any() for left in out) else ""
        raise InputError(f"the members found no atom in any of the {len(frames)} frames{where}; choose others, or other frames")
    kept = tuple(np.ones(len(one), bool) for one in atoms)
    doubtful = tuple(~one for one in kept)
    counts: dict[str, int] = {"found": found, "kept": found}
    notes: tuple[str, ...] = ()
    if cleaning is not None:
        cleaned = clean(frames, atoms, cleaning)
        kept, doubtful, counts, notes = cleaned.kept, cleaned.doubtful, cleaned.counts, cleaned.notes
    if not any(one.any() for one in kept):
        raise InputError(f"cleaning left none of the {found} atoms: {counts}")
    kinds = [one[:, 2].astype(np.int64) for one in atoms]
    if classify is not None:
        places = [one[use, :2] for one, use in zip(atoms, kept, strict=True)]
        for which, use, told in zip(kinds, kept, classify(frames, places), strict=True):
            which[use] = told
    for which, use, doubt in zip(kinds, kept, doubtful, strict=True):
        which[~use] = DISCARDED
        which[doubt] = DOUBTFUL
    counts = {**counts, "weak": sum(len(weak) for _, weak in seen)}
    if leave_out:
        counts["left out"] = sum(int(left.sum()) for left in out)
    with_unsure = tuple(np.concatenate(pair) for pair in zip(atoms, unsure, strict=True))
    all_kinds = tuple(np.concatenate([which, np.full(len(one), DOUBTFUL)]) for which, one in zip(kinds, unsure, strict=True))
    return Labels(with_unsure, all_kinds, counts, notes)


def _seen(inferred: Inferred, card: Card) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The atoms of a frame, and what might be more of them: maxima below the threshold, apart from those atoms by half their distance."""
    atoms = finish(inferred, card).atoms
    weak = finish(inferred, card.model_copy(update={"threshold": _WEAK * card.threshold})).atoms
    if len(atoms) < 2 or not len(weak):
        return atoms, weak[:0]
    apart = 0.5 * neighbour_px(atoms)
    return atoms, weak[np.asarray(cKDTree(atoms[:, :2]).query(weak[:, :2])[0]) > apart]
