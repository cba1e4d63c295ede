"""Whether the std knows where the ensemble is wrong."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ._detection import Comparison
from ._ranks import Levels, auroc, auroc_of_counts
from ._reliability import Reliability, ReliabilityCounts
from ._truth import Truth

STD_EDGES = np.linspace(0, 0.5, 11)
"""Bins of the std: that of numbers between 0 and 1 is never above 0.5."""
PROBABILITY_EDGES = np.linspace(0, 1, 11)
_RIM_PX = 1.0
"""Pixels this close to a disc's edge belong to its rim, which is uncertain because the size of the discs is a choice."""


@dataclass(frozen=True)
class Calibration:
    """How far the ensemble's doubts can be trusted, over all frames with a truth.

    pixel_auroc : chance that a wrong pixel has a higher std than a right one; 0.5 = the std tells nothing, NaN where it is undefined
    pixel_auroc_off_rims : the same without the pixels on the rims of the true discs
    wrong_pixels, wrong_pixels_off_rims : share of the pixels that are wrong
    atom_auroc : chance that an atom that isn't there has a higher p_std than one that is
    wrong_atoms : share of the found atoms that aren't there
    error_by_std : in bins of the std, the share of pixels that are wrong (`observed`)
    pixels : mean foreground probability of pixels against the share that are foreground
    atoms : probability p of found atoms against the share that are there
    disc_px : mean radius of the discs that stand for true atoms, in pixels of the network's grid
    """

    pixel_auroc: float
    pixel_auroc_off_rims: float
    wrong_pixels: float
    wrong_pixels_off_rims: float
    atom_auroc: float
    wrong_atoms: float
    error_by_std: Reliability
    pixels: Reliability
    atoms: Reliability
    disc_px: float


class CalibrationCounts:
    """Collects frames for a `Calibration`; its memory does not grow with the number of pixels."""

    def __init__(self) -> None:
        self._levels = {(rim, wrong): Levels() for rim in (False, True) for wrong in (False, True)}
        self._error_by_std = ReliabilityCounts(STD_EDGES)
        self._pixels = ReliabilityCounts(PROBABILITY_EDGES)
        self._atoms = ReliabilityCounts(PROBABILITY_EDGES)
        self._p_std: list[NDArray[np.floating]] = []
        self._wrong_atoms: list[NDArray[np.bool_]] = []
        self._disc_px: list[float] = []

    def add_pixels(self, mean: NDArray[np.float32], std: NDArray[np.float32] | None, threshold: float, truth: Truth, disc_px: float) -> None:
        """Judge a frame's foreground map against discs around the true atoms.

        Pixels near atoms that need not be found are left out.

        mean, std : ndarrays, shape (rows, columns), foreground probability and its std over the members (None where it is unknown)
        truth : its positions and radius in the pixels of these maps
        disc_px : radius of the discs
        """
        far = distance_to_nearest(truth.atoms_yx[truth.required], mean.shape, disc_px + 2 * _RIM_PX)
        ignored = distance_to_nearest(truth.atoms_yx[~truth.required], mean.shape, max(disc_px + _RIM_PX, truth.match_px)) < np.inf
        judged = ~ignored.reshape(-1)
        mask = (far <= disc_px).reshape(-1)[judged]
        rim = (np.abs(far - disc_px) <= _RIM_PX).reshape(-1)[judged]
        probability = mean.reshape(-1)[judged]
        wrong = (probability > threshold) != mask
        self._disc_px.append(disc_px)
        self._pixels.add(probability, mask)
        if std is not None:
            doubt = std.reshape(-1)[judged]
            self._error_by_std.add(doubt, wrong)
            for (on_rim, is_wrong), levels in self._levels.items():
                levels.add(doubt[(rim == on_rim) & (wrong == is_wrong)])

    def add_atoms(self, atoms: NDArray[np.floating], compared: Comparison) -> None:
        """Judge a frame's atoms (N, 10); those that may be there unlabelled are left out."""
        wrong = np.zeros(len(atoms), bool)
        wrong[compared.extra] = True
        judged = np.setdiff1d(np.arange(len(atoms)), compared.excused)
        self._atoms.add(atoms[judged, 3], ~wrong[judged])
        self._p_std.append(atoms[judged, 4])
        self._wrong_atoms.append(wrong[judged])

    def result(self) -> Calibration | None:
        """What was collected; None where no frame was."""
        if not self._disc_px:
            return None
        counts = {key: levels.counts for key, levels in self._levels.items()}
        wrong, right = counts[False, True] + counts[True, True], counts[False, False] + counts[True, False]
        p_std, wrong_atoms = np.concatenate(self._p_std), np.concatenate(self._wrong_atoms)
        return Calibration(
            pixel_auroc=auroc_of_counts(wrong, right),
            pixel_auroc_off_rims=auroc_of_counts(counts[False, True], counts[False, False]),
            wrong_pixels=_share(wrong, right),
            wrong_pixels_off_rims=_share(counts[False, True], counts[False, False]),
            atom_auroc=auroc(p_std, wrong_atoms),
            wrong_atoms=float(wrong_atoms.mean()) if len(wrong_atoms) else math.nan,
            error_by_std=self._error_by_std.result(),
            pixels=self._pixels.result(),
            atoms=self._atoms.result(),
            disc_px=float(np.mean(self._disc_px)),
        )


def distance_to_nearest(points_yx: NDArray[np.floating], shape: tuple[int, ...], reach_px: float) -> NDArray[np.float64]:
    """Distance of each pixel centre to the nearest point in pixels, shape (rows, columns); infinite beyond `reach_px`."""
    reach = math.ceil(reach_px)
    out = np.full(shape, np.inf)
    points = points_yx[np.all((points_yx > -reach - 1) & (points_yx < np.array(shape) + reach), axis=1)]
    centre = np.rint(points).astype(np.int64)
    dy, dx = (one.reshape(-1) for one in np.mgrid[-reach : reach + 1, -reach : reach + 1])
    y, x = centre[:, :1] + dy, centre[:, 1:] + dx
    distance = np.hypot(y - points[:, :1], x - points[:, 1:])
    near = (distance <= reach_px) & (y >= 0) & (y < shape[0]) & (x >= 0) & (x < shape[1])
    np.minimum.at(out, (y[near], x[near]), distance[near])
    return out


def _share(wrong: NDArray[np.int64], right: NDArray[np.int64]) -> float:
    total = int(wrong.sum() + right.sum())
    return int(wrong.sum()) / total if total else math.nan
