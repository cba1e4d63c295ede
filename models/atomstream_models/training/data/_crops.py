"""Training images cut from experimental frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...neighbours import nearest_px
from ...regions import Region, check_region, region_mask
from .._targets import DISK_RADIUS
from ._set import TrainingSet, training_set

_Place = tuple[int, Region]

_REACH_PX = 8
"""Atoms that far outside a crop may still show in it."""
_LEAST_RADIUS_PX = 1.5
_MOST_HIDDEN = 0.5
"""Share of a crop that may lie in what is left out; crops are drawn again, so many times at most, for one that does."""
_DRAWS = 20


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
    leave_out: Sequence[Region] = (),
    radius_px: float | None = None,
    grain_px: int = 8,
    validation: int = 0,
    held_out: int | None = None,
    numbers: Sequence[int] | None = None,
) -> TrainingSet:
    """Random square crops of frames with their atoms, each frame from 0 up in units of its own standard deviation.

    frames : arrays (rows, columns)
    atoms_yx, kinds : each frame's atoms (N, 2) in pixels and their class indices (N,), -1 for those that are no atoms
    side_px : side of a crop; a smaller frame or region gives crops as large as it allows
    count : number of crops, shared evenly between frames and regions
    regions : parts of the frames to cut from, all by default
    leave_out : parts of them whose pixels are hidden, so that nothing is learned there; crops are mostly of the rest
    radius_px : radius of an atom's disc in the target; by default what suits the atoms' distances, see `disk_radius_px`
    grain_px : the side of the crops is a multiple of this
    validation : crops at the end of the set that are for validation
    held_out : index of the frame that those, and only those, are cut from; None draws them from all frames
    numbers : what messages call the frames; their indices by default

    Raises
    ------
    InputError
        for a region outside a frame, too small or left out as a whole, a constant frame, or where no atom is left to learn from.
    """
    names = list(range(len(frames))) if numbers is None else list(numbers)
    places = [(k, region) for k, frame in enumerate(frames) for region in (regions or [(0, frame.shape[0], 0, frame.shape[1])])]
    for k, region in places:
        _check_region(region, frames[k].shape, names[k], grain_px)
    hidden = [region_mask(frame.shape, _checked(leave_out, frame.shape, name)) for frame, name in zip(frames, names, strict=True)]
    for k, (y0, y1, x0, x1) in places:
        if hidden[k][y0:y1, x0:x1].all():
            raise InputError(f"all of rows {y0}:{y1}, columns {x0}:{x1} of frame {names[k]} is left out; nothing can be learned there")
    side = min([side_px, *(min(r[1] - r[0], r[3] - r[2]) for _, r in places)]) // grain_px * grain_px
    rng = np.random.default_rng([seed, 21])
    scaled = [_scaled(frame, name) for frame, name in zip(frames, names, strict=True)]
    learned = [place for place in places if place[0] != held_out]
    watched = places if held_out is None else [place for place in places if place[0] == held_out]
    turns = [*_in_turn(learned, count - validation, rng), *_in_turn(watched, validation, rng)]
    images = np.empty((count, side, side), np.float32)
    cut_hidden = np.zeros((count, side, side), bool)
    cut_atoms, cut_kinds = [], []
    for n, (k, region) in enumerate(turns):
        y, x = _corner(hidden[k], region, side, rng)
        cut_hidden[n] = hidden[k][y : y + side, x : x + side]
        images[n] = scaled[k][y : y + side, x : x + side]
        shifted = np.asarray(atoms_yx[k], np.float64) - (y, x)
        near = np.all((shifted > -_REACH_PX) & (shifted < side + _REACH_PX), axis=1)
        cut_atoms.append(shifted[near])
        cut_kinds.append(kinds[k][near])
    made = training_set(images, cut_atoms, cut_kinds, radius_px or disk_radius_px(atoms_yx, kinds), classes, pixel_nm)
    return replace(made, hidden=cut_hidden) if leave_out else made


def disk_radius_px(atoms_yx: Sequence[NDArray[np.floating]], kinds: Sequence[NDArray[np.integer]]) -> float:
    """The radius in pixels of an atom's disc that suits these atoms: a share of the median distance to the nearest neighbour.

    Raises
    ------
    InputError
        where no frame has two atoms.
    """
    distances = np.concatenate([nearest_px(places[which >= 0]) for places, which in zip(atoms_yx, kinds, strict=True)])
    if not len(distances):
        raise InputError("no frame has two atoms left after cleaning; there is nothing to learn from")
    return max(DISK_RADIUS * float(np.median(distances)), _LEAST_RADIUS_PX)


def _in_turn(places: Sequence[_Place], count: int, rng: np.random.Generator) -> list[_Place]:
    """Each place equally often, in random order."""
    return [places[k] for k in rng.permutation(np.arange(count) % max(len(places), 1))]


def _corner(hidden: NDArray[np.bool_], region: Region, side: int, rng: np.random.Generator) -> tuple[int, int]:
    """First row and column of a crop at random, of several the first that is not mostly hidden, else the least hidden."""
    y0, y1, x0, x1 = region
    best, least = (y0, x0), 1.1
    for _ in range(_DRAWS):
        y, x = int(rng.integers(y0, y1 - side + 1)), int(rng.integers(x0, x1 - side + 1))
        share = float(hidden[y : y + side, x : x + side].mean())
        if share <= _MOST_HIDDEN:
            return y, x
        if share < least:
            best, least = (y, x), share
    return best


def _checked(regions: Sequence[Region], shape: tuple[int, ...], frame: int) -> Sequence[Region]:
    for region in regions:
        check_region(region, shape, frame)
    return regions


def _check_region(region: Region, shape: tuple[int, ...], frame: int, grain_px: int) -> None:
    check_region(region, shape, frame)
    y0, y1, x0, x1 = region
    if min(y1 - y0, x1 - x0) < 2 * grain_px:
        raise InputError(f"region rows {y0}:{y1}, columns {x0}:{x1} of frame {frame} is smaller than {2 * grain_px} pixels")


def _scaled(frame: NDArray[Any], number: int) -> NDArray[np.float32]:
    if not np.isfinite(frame).all():
        raise InputError(f"frame {number} has pixels that are not finite")
    spread = float(frame.std(dtype=np.float64))
    if spread == 0:
        raise InputError(f"frame {number} is constant; nothing can be learned from it")
    return ((frame - float(frame.min())) / spread).astype(np.float32)
