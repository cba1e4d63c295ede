"""Training images with their atoms, on disk and in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError

_ARRAYS = ("images", "atoms_yx", "kinds", "radius_px", "pixel_nm")


@dataclass(frozen=True)
class TrainingSet:
    """Images of one size, each with the atoms in it or with its masks.

    images : ndarray, shape (n, rows, columns), float16 or float32; the unit in which augmentation counts is 1
    atoms_yx : ndarray, shape (n, most, 2), float32, atom centres in pixels; rows beyond an image's own atoms are NaN
    kinds : ndarray, shape (n, most), int8, class index of each atom, -1 where there is none or it is not to be found, -2 where nobody knows
    radius_px : ndarray, shape (n,), float32, radius of an atom's disc in the target
    pixel_nm : ndarray, shape (n,), float32, pixel size in nm, NaN where it is unknown
    classes : number of atom classes
    masks : ndarray, shape (n, classes, rows, columns), uint8, 255 = inside an atom; None where atoms say it all
    """

    images: NDArray[Any]
    atoms_yx: NDArray[np.float32]
    kinds: NDArray[np.int8]
    radius_px: NDArray[np.float32]
    pixel_nm: NDArray[np.float32]
    classes: int
    masks: NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return len(self.images)

    def split(self, validation: int) -> tuple[TrainingSet, TrainingSet]:
        """The set without its last `validation` images, and those."""
        return self._part(slice(0, len(self) - validation)), self._part(slice(len(self) - validation, len(self)))

    def in_memory(self) -> TrainingSet:
        """The same set with every array read into memory."""
        arrays = {name: np.array(getattr(self, name)) for name in _ARRAYS}
        return TrainingSet(**arrays, classes=self.classes, masks=None if self.masks is None else np.array(self.masks))

    def save(self, folder: Path) -> None:
        """Write the arrays into a new or empty folder."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in _ARRAYS:
            np.save(folder / f"{name}.npy", getattr(self, name), allow_pickle=False)
        if self.masks is not None:
            np.save(folder / "masks.npy", self.masks, allow_pickle=False)
        np.save(folder / "classes.npy", np.array(self.classes), allow_pickle=False)

    @classmethod
    def load(cls, folder: Path) -> TrainingSet:
        """The set in a folder; its arrays are mapped, not read, so that many processes share them."""
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in _ARRAYS}
        masks = folder / "masks.npy"
        return cls(
            **arrays,
            classes=int(np.load(folder / "classes.npy", allow_pickle=False)),
            masks=np.load(masks, mmap_mode="r", allow_pickle=False) if masks.exists() else None,
        )

    def _part(self, part: slice) -> TrainingSet:
        masks = None if self.masks is None else self.masks[part]
        return TrainingSet(self.images[part], self.atoms_yx[part], self.kinds[part], self.radius_px[part], self.pixel_nm[part], self.classes, masks)


def training_set(
    images: NDArray[Any],
    atoms_yx: Sequence[NDArray[np.floating]],
    kinds: Sequence[NDArray[np.integer]],
    radius_px: float | NDArray[np.floating],
    classes: int,
    pixel_nm: float | NDArray[np.floating] | None = None,
) -> TrainingSet:
    """A training set of images (n, rows, columns) and each image's atoms (N, 2) and class indices (N,).

    radius_px : radius of an atom's disc in the target, one for all or one an image
    pixel_nm : pixel size in nm, None where it is unknown

    Raises
    ------
    InputError
        where the parts don't fit each other, an image is not finite, or there is no atom in any image.
    """
    count = len(images)
    if images.ndim != 3 or not count:
        raise InputError(f"training images have shape {list(images.shape)}, not (images, rows, columns)")
    if len(atoms_yx) != count or len(kinds) != count:
        raise InputError(f"{count} images come with {len(atoms_yx)} lists of atoms and {len(kinds)} lists of classes")
    bad = [k for k in range(count) if not np.isfinite(images[k]).all()]
    if bad:
        raise InputError(f"training image {bad[0]} has pixels that are not finite" + (f", and {len(bad) - 1} more" if len(bad) > 1 else ""))
    for k, (places, which) in enumerate(zip(atoms_yx, kinds, strict=True)):
        if len(places) != len(which):
            raise InputError(f"image {k} has {len(places)} atoms and {len(which)} classes")
        if len(which) and int(which.max()) >= classes:
            raise InputError(f"image {k} has an atom of class {int(which.max())}, but there are only {classes} classes")
    if not any((which >= 0).any() for which in kinds):
        raise InputError("none of the training images has an atom to be found in it; there is nothing to learn")
    most = max(1, *(len(places) for places in atoms_yx))
    padded, labels = np.full((count, most, 2), np.nan, np.float32), np.full((count, most), -1, np.int8)
    for k, (places, which) in enumerate(zip(atoms_yx, kinds, strict=True)):
        padded[k, : len(places)], labels[k, : len(which)] = places, which
    return TrainingSet(images, padded, labels, _each(radius_px, count), _each(np.nan if pixel_nm is None else pixel_nm, count), classes)


def masked_set(images: NDArray[Any], masks: NDArray[Any], pixel_nm: float | None = None) -> TrainingSet:
    """A training set of images (n, rows, columns) and masks (n, rows, columns) of class numbers, or (n, classes, rows, columns).

    Class numbers count from 1, 0 is background; of masks with an axis of classes, anything above 0 is inside.

    Raises
    ------
    InputError
        where shapes don't fit or every mask is empty.
    """
    if images.ndim != 3 or masks.shape[0] != images.shape[0] or masks.shape[-2:] != images.shape[1:]:
        raise InputError(f"images of shape {list(images.shape)} and masks of shape {list(masks.shape)} don't fit")
    if not (masks > 0).any():
        raise InputError("every mask is empty; there is nothing to learn")
    if masks.ndim == 3:
        masks = np.stack([masks == k for k in range(1, int(masks.max()) + 1)], 1)
    count = len(images)
    none = np.full((count, 1, 2), np.nan, np.float32), np.full((count, 1), -1, np.int8)
    inside = ((masks > 0) * np.uint8(255)).astype(np.uint8)
    return TrainingSet(images, *none, _each(np.nan, count), _each(np.nan if pixel_nm is None else pixel_nm, count), masks.shape[1], inside)


def _each(value: float | NDArray[np.floating], count: int) -> NDArray[np.float32]:
    return np.ascontiguousarray(np.broadcast_to(np.asarray(value, np.float32), (count,)))
