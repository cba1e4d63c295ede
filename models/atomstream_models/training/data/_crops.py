"""Training images cut from experimental frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ...errors import InputError
from .._targets import DISK_RADIUS
from ._set import TrainingSet, training_set

Region = tuple[int, int, int, int]
"""First row, one past the last, first column, one past the last."""

_GRAIN_PX = 8
_LEAST_RADIUS_PX = 1.5


def crops(
    frames: Sequence[NDArray[Any]],
    atoms_yx: Sequence[NDArray[np.floating]],
    kinds: Sequence[NDArray[np.integer]],
    *,
    classes: int,
    side_px: int,
    count: int,
    seed: int,
    pixel_nm: float | None = None,
    regions: Sequence[Region] = (),
    radius_px: float | None = None,
) -> TrainingSet:
    """Random square crops of frames with their atoms, each frame from 0 up in units of its own standard deviation.

    frames : arrays (rows, columns)
    atoms_yx, kinds : each frame's atoms (N, 2) in pixels and their class indices (N,), -1 for those that are no atoms
    side_px : side of a crop; a smaller frame or region gives crops as large as it allows
    count : number of crops, shared evenly between frames and regions
    regions : parts of the frames to cut from, all by default
    radius_px : radius of an atom's disc in the target; by default what suits the atoms' distances, see `disk_radius_px`

    Raises
    ------
    InputError
        for a region outside a frame or too small, a constant frame, or where no atom is left to learn from.
    """
    places = [(k, region) for k, frame in enumerate(frames) for region in (regions or [(0, frame.shape[0], 0, frame.shape[1])])]
    for k, region in places:
        _check_region(region, frames[k].shape, k)
    side = min([side_px, *(min(r[1] - r[0], r[3] - r[2]) for _, r in places)]) // _GRAIN_PX * _GRAIN_PX
    rng = np.random.default_rng([seed, 21])
    scaled = [_scaled(frame, k) for k, frame in enumerate(frames)]
    images = np.empty((count, side, side), np.float32)
    cut_atoms, cut_kinds = [], []
    for n in range(count):
        k, (y0, y1, x0, x1) = places[n % len(places)]
        y, x = int(rng.integers(y0, y1 - side + 1)), int(rng.integers(x0, x1 - side + 1))
        images[n] = scaled[k][y : y + side, x : x + side]
        shifted = np.asarray(atoms_yx[k], np.float64) - (y, x)
        near = np.all((shifted > -_GRAIN_PX) & (shifted < side + _GRAIN_PX), axis=1)
        cut_atoms.append(shifted[near])
        cut_kinds.append(kinds[k][near])
    order = rng.permutation(count)
    return training_set(
        images[order], [cut_atoms[n] for n in order], [cut_kinds[n] for n in order], radius_px or disk_radius_px(atoms_yx, kinds), classes, pixel_nm
    )


def disk_radius_px(atoms_yx: Sequence[NDArray[np.floating]], kinds: Sequence[NDArray[np.integer]]) -> float:
    """The radius in pixels of an atom's disc that suits these atoms: a share of the median distance to the nearest neighbour.

    Raises
    ------
    InputError
        where no frame has two atoms.
    """
    distances = [
        np.asarray(cKDTree(places[which >= 0]).query(places[which >= 0], k=2)[0])[:, 1]
        for places, which in zip(atoms_yx, kinds, strict=True)
        if (which >= 0).sum() > 1
    ]
    if not distances:
        raise InputError("no frame has two atoms left after cleaning; there is nothing to learn from")
    return max(DISK_RADIUS * float(np.median(np.concatenate(distances))), _LEAST_RADIUS_PX)


def _check_region(region: Region, shape: tuple[int, ...], frame: int) -> None:
    y0, y1, x0, x1 = region
    if not (0 <= y0 < y1 <= shape[0] and 0 <= x0 < x1 <= shape[1]):
        raise InputError(f"region rows {y0}:{y1}, columns {x0}:{x1} is not inside frame {frame} of {shape[0]}x{shape[1]} pixels")
    if min(y1 - y0, x1 - x0) < 2 * _GRAIN_PX:
        raise InputError(f"region rows {y0}:{y1}, columns {x0}:{x1} is smaller than {2 * _GRAIN_PX} pixels")


def _scaled(frame: NDArray[Any], number: int) -> NDArray[np.float32]:
    if not np.isfinite(frame).all():
        raise InputError(f"frame {number} has pixels that are not finite")
    spread = float(frame.std(dtype=np.float64))
    if spread == 0:
        raise InputError(f"frame {number} is constant; nothing can be learned from it")
    return ((frame - float(frame.min())) / spread).astype(np.float32)
