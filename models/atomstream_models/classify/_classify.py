"""Classes for the atoms of a whole movie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..brightness import Background, intensities
from ..errors import InputError
from ._automatic import automatic_threshold
from ._methods import by_gmm, by_kmeans, by_patches, by_threshold

Method = Literal["threshold", "automatic", "gmm", "kmeans", "patches"]


@dataclass(frozen=True)
class Classification:
    """How atoms are divided into kinds.

    method : `threshold` (of normalised intensity), `automatic` (two kinds, cut found from the atoms), `gmm`, `kmeans` (of intensity), `patches`
    classes : kinds; for thresholds one more than there are of them
    thresholds : for `threshold`, in units of the frame's median atom
    radius_px : of the disc in which intensity is taken; None for a quarter of the distance between neighbours
    background : what is taken off the intensity
    window_px : side of a patch, for `patches`
    seed : of everything random
    """

    method: Method = "automatic"
    classes: int = 2
    thresholds: tuple[float, ...] = ()
    radius_px: float | None = None
    background: Background = "ring"
    window_px: int = 24
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method == "threshold" and len(self.thresholds) != self.classes - 1:
            raise InputError(f"{self.classes} classes need {self.classes - 1} thresholds, {len(self.thresholds)} are given")
        if self.method == "automatic" and self.classes != 2:
            raise InputError(f"the automatic threshold tells 2 classes apart, not {self.classes}")


@dataclass(frozen=True)
class Classified:
    """Kinds of atoms.

    labels : one ndarray a frame, shape (atoms,), int64, rising with brightness from 0
    counts : atoms of each class
    thresholds : where the intensities were cut, in units of the frame's median atom; empty for the other methods, and where only one kind was found
    """

    labels: tuple[NDArray[np.int64], ...]
    counts: tuple[int, ...]
    thresholds: tuple[float, ...]


def classify(frames: Sequence[NDArray[Any]], atoms: Sequence[NDArray[np.floating]], settings: Classification | None = None) -> Classified:
    """The kind of each atom, decided over all frames together, so that a frame may lack a kind.

    Where the automatic threshold finds one kind only, all atoms are of class 0.

    frames : arrays (rows, columns), finite
    atoms : for each frame an array (N, 2 or more) that begins with y, x in pixels

    Raises
    ------
    InputError
        where frames and atoms differ in number, or atoms are fewer than classes.
    ExtraMissing
        without scikit-learn, for `gmm`, `kmeans` and `patches`.
    """
    how = settings or Classification()
    if len(frames) != len(atoms):
        raise InputError(f"{len(frames)} frames came with atoms of {len(atoms)}")
    if how.method == "patches":
        labels = by_patches(frames, atoms, how.classes, window_px=how.window_px, seed=how.seed)
        return Classified(labels, _counts(labels, how.classes), ())
    values = [intensities(frame, yx, how.radius_px, background=how.background) for frame, yx in zip(frames, atoms, strict=True)]
    pooled = np.concatenate(values) if values else np.empty(0)
    cuts: tuple[float, ...] = ()
    if how.method == "gmm":
        flat = by_gmm(pooled, how.classes, seed=how.seed)
    elif how.method == "kmeans":
        flat = by_kmeans(pooled, how.classes, seed=how.seed)
    else:
        found = automatic_threshold(pooled) if how.method == "automatic" else None
        cuts = how.thresholds if how.method == "threshold" else (() if found is None else (found,))
        flat = by_threshold(pooled, cuts)
    labels = tuple(np.split(flat, np.cumsum([len(one) for one in values])[:-1])) if values else ()
    return Classified(labels, _counts(labels, how.classes), cuts)


def _counts(labels: Sequence[NDArray[np.int64]], classes: int) -> tuple[int, ...]:
    return tuple(int(sum(np.count_nonzero(one == k) for one in labels)) for k in range(classes))
