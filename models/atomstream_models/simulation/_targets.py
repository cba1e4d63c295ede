"""What a network should answer: discs at the atoms, soft or hard, of one class or of several."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError


def soft_disks(positions_px: NDArray[np.float64], radius_px: float, shape: tuple[int, int], softness: float = 0.25) -> NDArray[np.float32]:
    """Discs with a logistic edge, centred sub-pixel, shape `shape`, values 0 to 1; where they overlap the larger value holds.

    The value falls from the centre on, so each atom is a strict local maximum and its weighted centroid is
    its position. Atoms may lie outside the frame; only their part inside is drawn.

    positions_px : ndarray, shape (N, 2), (y, x)
    radius_px : where the value is one half
    softness : width of the edge relative to the radius

    Raises `InputError` for a position that is not finite and for a radius that is not positive.
    """
    target = np.zeros(shape, np.float32)
    _, rows, columns, distance = _around(positions_px, radius_px, int(np.ceil(radius_px * (1 + 5 * softness))), shape)
    value = 1 / (1 + np.exp((distance - radius_px) / (softness * radius_px)))
    np.maximum.at(target, (rows, columns), value.astype(np.float32))
    return target


def disks(positions_px: NDArray[np.float64], radius_px: float, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Circles of one radius, shape `shape`: pixels whose centre is at most `radius_px` from an atom.

    Centres are taken sub-pixel. Atoms may lie outside the frame; only their part inside is drawn. A radius below
    half a pixel's diagonal may miss every pixel.

    positions_px : ndarray, shape (N, 2), (y, x)

    Raises `InputError` for a position that is not finite and for a radius that is not positive.
    """
    mask = np.zeros(shape, bool)
    _, rows, columns, distance = _around(positions_px, radius_px, int(np.ceil(radius_px)) + 1, shape)
    near = distance <= radius_px
    mask[rows[near], columns[near]] = True
    return mask


def class_masks(positions_px: NDArray[np.float64], kinds: NDArray[np.int64], classes: int, radius_px: float, shape: tuple[int, int]) -> NDArray[np.float32]:
    """One-hot masks of circles, shape (classes + 1, *shape), background last; a pixel in reach of several atoms belongs to the nearest.

    positions_px : ndarray, shape (N, 2), (y, x), sub-pixel, may lie outside the frame
    kinds : ndarray, shape (N,), class index; negative ones are not drawn. A class without atoms has an empty mask

    Raises `InputError` for a kind without a mask, for a position that is not finite, for a radius that is not positive.
    """
    kinds = np.asarray(kinds, np.int64)
    if len(kinds) and kinds.max() >= classes:
        raise InputError(f"an atom is of class {kinds.max()}, but there are only {classes} classes")
    nearest = np.full((classes, *shape), np.inf)
    drawn = kinds >= 0
    atom, rows, columns, distance = _around(np.asarray(positions_px, np.float64)[drawn], radius_px, int(np.ceil(radius_px)) + 1, shape)
    near = distance <= radius_px
    np.minimum.at(nearest, (kinds[drawn][atom[near]], rows[near], columns[near]), distance[near])
    masks = np.zeros((classes + 1, *shape), np.float32)
    owner = np.where(np.isfinite(nearest).any(axis=0), nearest.argmin(axis=0) if classes else 0, classes)
    np.put_along_axis(masks, owner[None], 1.0, axis=0)
    return masks


def _around(
    positions_px: NDArray[np.float64], radius_px: float, reach: int, shape: tuple[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Atom, row, column and distance for each pixel inside the frame and at most `reach` rows and columns from an atom."""
    positions = np.asarray(positions_px, np.float64).reshape(-1, 2)
    if not np.isfinite(positions).all():
        raise InputError(f"atom {np.flatnonzero(~np.isfinite(positions).all(axis=1))[0]} has no finite position")
    if not radius_px > 0:
        raise InputError(f"the radius of an atom's disc must be positive, got {radius_px} px")
    near = np.all((positions > -reach - 1) & (positions < np.array(shape) + reach), axis=1)
    atom = np.flatnonzero(near)
    positions = positions[near]
    offset = np.arange(-reach, reach + 1)
    nearest = np.rint(positions).astype(np.int64)
    rows = nearest[:, 0, None, None] + offset[None, :, None]
    columns = nearest[:, 1, None, None] + offset[None, None, :]
    distance = np.hypot(rows - positions[:, 0, None, None], columns - positions[:, 1, None, None])
    rows, columns, atoms = np.broadcast_arrays(rows, columns, atom[:, None, None])
    inside = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
    return atoms[inside], rows[inside], columns[inside], distance[inside]
