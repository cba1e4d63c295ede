"""Which atoms were found, missed and made up, and how well the found ones are placed."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..metrics import match
from ._truth import Truth


@dataclass(frozen=True)
class Comparison:
    """Found atoms against true ones, as indices.

    found, true : ndarrays, shape (pairs,), matched pairs: index into the found atoms, index into the true ones
    extra : ndarray, found atoms where nothing is
    excused : ndarray, found atoms where something is that need not be found
    missed : ndarray, true atoms that should have been found
    """

    found: NDArray[np.int64]
    true: NDArray[np.int64]
    extra: NDArray[np.int64]
    excused: NDArray[np.int64]
    missed: NDArray[np.int64]


@dataclass(frozen=True)
class Detection:
    """Detection and localisation against a truth, of a frame or of several.

    found, missed, extra : true positives, false negatives, false positives
    square_px : sum of the squared distances of the matched pairs, in square pixels
    shift_px : sum of (found - true) of the matched pairs, (y, x) in pixels
    pixel_nm : pixel size in nm, None where it is unknown
    """

    found: int
    missed: int
    extra: int
    square_px: float
    shift_px: tuple[float, float]
    pixel_nm: float | None = None

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 1 where there was nothing to find and nothing was found."""
        total = 2 * self.found + self.missed + self.extra
        return 2 * self.found / total if total else 1.0

    @property
    def precision(self) -> float:
        """Share of the found atoms that are there; NaN where none was found."""
        return self.found / (self.found + self.extra) if self.found + self.extra else math.nan

    @property
    def recall(self) -> float:
        """Share of the true atoms that were found; NaN where there was none."""
        return self.found / (self.found + self.missed) if self.found + self.missed else math.nan

    @property
    def rmse_px(self) -> float:
        """Root mean square distance of the matched pairs in pixels, NaN without a pair."""
        return math.sqrt(self.square_px / self.found) if self.found else math.nan

    @property
    def rmse_pm(self) -> float:
        """The same in pm, NaN where the pixel size is unknown."""
        return math.nan if self.pixel_nm is None else 1000 * self.pixel_nm * self.rmse_px

    @property
    def bias_px(self) -> tuple[float, float]:
        """Mean of found - true, (y, x) in pixels: what a shift of the whole grid would take away. NaN without a pair."""
        return (self.shift_px[0] / self.found, self.shift_px[1] / self.found) if self.found else (math.nan, math.nan)


def compare(atoms: NDArray[np.floating], truth: Truth) -> Comparison:
    """Match found atoms (N, 2+; y, x first) one to one with true ones, first with those that must be found."""
    yx, required = atoms[:, :2], np.flatnonzero(truth.required)
    other = np.flatnonzero(~truth.required)
    i, j = match(yx, truth.atoms_yx[required], truth.match_px)
    left = np.setdiff1d(np.arange(len(yx)), i)
    excused, _ = match(yx[left], truth.atoms_yx[other], truth.match_px)
    return Comparison(i, required[j], np.delete(left, excused), left[excused], np.setdiff1d(required, required[j]))


def detection(atoms: NDArray[np.floating], truth: Truth, compared: Comparison | None = None) -> Detection:
    """Score of found atoms (N, 2+; y, x first), whatever their class; `compared` saves matching them again."""
    pairs = compared or compare(atoms, truth)
    return _detection(atoms, truth, pairs.found, pairs.true, len(pairs.missed), len(pairs.extra))


def class_detections(atoms: NDArray[np.floating], truth: Truth, classes: int, compared: Comparison | None = None) -> tuple[Detection, ...]:
    """Score of each class of found atoms (N, 3+; y, x, class first).

    Atoms are matched by position alone. A pair counts as found for a class only where both are of it; otherwise it is missed in the
    true atom's class and extra in the found one's.

    Raises
    ------
    ValueError
        where the truth has no classes.
    """
    if truth.kinds is None:
        raise ValueError("the truth has no classes")
    pairs = compared or compare(atoms, truth)
    kind = atoms[:, 2].astype(np.int64)
    counted = np.setdiff1d(np.arange(len(atoms)), pairs.excused)
    out = []
    for one in range(classes):
        right = (kind[pairs.found] == one) & (truth.kinds[pairs.true] == one)
        hits = int(right.sum())
        missed = int(np.sum(truth.required & (truth.kinds == one))) - hits
        extra = int(np.sum(kind[counted] == one)) - hits
        out.append(_detection(atoms, truth, pairs.found[right], pairs.true[right], missed, extra))
    return tuple(out)


def pooled(parts: Iterable[Detection]) -> Detection:
    """The score of several frames together; the pixel size is kept where it is the same in all."""
    parts = tuple(parts)
    sizes = {part.pixel_nm for part in parts}
    return Detection(
        sum(part.found for part in parts),
        sum(part.missed for part in parts),
        sum(part.extra for part in parts),
        sum(part.square_px for part in parts),
        (sum(part.shift_px[0] for part in parts), sum(part.shift_px[1] for part in parts)),
        sizes.pop() if len(sizes) == 1 else None,
    )


def _detection(atoms: NDArray[np.floating], truth: Truth, i: NDArray[np.int64], j: NDArray[np.int64], missed: int, extra: int) -> Detection:
    off = atoms[i, :2].astype(np.float64) - truth.atoms_yx[j]
    return Detection(len(i), missed, extra, float(np.sum(off**2)), (float(off[:, 0].sum()), float(off[:, 1].sum())), truth.pixel_nm)
