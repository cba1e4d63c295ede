"""Training images with their atoms, on disk and in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from .._files import write_array

_ARRAYS = ("images", "atoms_yx", "kinds", "radius_px", "pixel_nm")
_MOST_CLASSES = 64
"""As many as a bundle may have."""


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
    hidden : ndarray, shape (n, rows, columns), bool, pixels that nothing is to be learned from; None where there are none
    """

    images: NDArray[Any]
    atoms_yx: NDArray[np.float32]
    kinds: NDArray[np.int8]
    radius_px: NDArray[np.float32]
    pixel_nm: NDArray[np.float32]
    classes: int
    masks: NDArray[np.uint8] | None = None
    hidden: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.images)

    def split(self, validation: int) -> tuple[TrainingSet, TrainingSet]:
        """The set without its last `validation` images, and those."""
        return self._part(slice(0, len(self) - validation)), self._part(slice(len(self) - validation, len(self)))

    def atoms_of_classes(self) -> tuple[bool, ...]:
        """Whether there is an atom of each class in any image."""
        if self.masks is not None:
            return tuple(bool(self.masks[:, k].any()) for k in range(self.classes))
        return tuple(bool((self.kinds == k).any()) for k in range(self.classes))

    def in_memory(self) -> TrainingSet:
        """The same set with every array read into memory."""
        arrays = {name: np.array(getattr(self, name)) for name in _ARRAYS}
        masks = None if self.masks is None else np.array(self.masks)
        hidden = None if self.hidden is None else np.array(self.hidden)
        return TrainingSet(**arrays, classes=self.classes, masks=masks, hidden=hidden)

    def save(self, folder: Path) -> None:
        """Write the arrays into a new or empty folder."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in _ARRAYS:
            write_array(folder / f"{name}.npy", getattr(self, name))
        for name, array in (("masks", self.masks), ("hidden", self.hidden)):
            if array is not None:
                write_array(folder / f"{name}.npy", array)
        write_array(folder / "classes.npy", np.array(self.classes))

    @classmethod
    def load(cls, folder: Path) -> TrainingSet:
        """The set in a folder; its arrays are mapped, not read, so that many processes share them."""
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in _ARRAYS}
        masks, hidden = (np.load(path, mmap_mode="r", allow_pickle=False) if path.exists() else None for path in (folder / "masks.npy", folder / "hidden.npy"))
        return cls(**arrays, classes=int(np.load(folder / "classes.npy", allow_pickle=False)), masks=masks, hidden=hidden)

    def _part(self, part: slice) -> TrainingSet:
        arrays = {name: getattr(self, name)[part] for name in _ARRAYS}
        masks = None if self.masks is None else self.masks[part]
        hidden = None if self.hidden is None else self.hidden[part]
        return TrainingSet(**arrays, classes=self.classes, masks=masks, hidden=hidden)


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
    pixel_nm : pixel size in nm, one for all or one an image, None where it is unknown

    Raises
    ------
    InputError
        where the parts don't fit each other, an image, position, radius or pixel size is impossible, or there is no atom in any image.
    """
    check_images(images)
    count = len(images)
    if len(atoms_yx) != count or len(kinds) != count:
        raise InputError(f"{count} images come with {len(atoms_yx)} lists of atoms and {len(kinds)} lists of classes")
    for k, (places, which) in enumerate(zip(atoms_yx, kinds, strict=True)):
        if len(places) != len(which):
            raise InputError(f"image {k} has {len(places)} atoms and {len(which)} classes")
        if not np.isfinite(places).all():
            raise InputError(f"image {k} has an atom whose position is not finite")
        if len(which) and int(which.max()) >= classes:
            raise InputError(f"image {k} has an atom of class {int(which.max())}, but there are only {classes} classes")
    if not any((which >= 0).any() for which in kinds):
        raise InputError("none of the training images has an atom to be found in it; there is nothing to learn")
    most = max(1, *(len(places) for places in atoms_yx))
    padded, labels = np.full((count, most, 2), np.nan, np.float32), np.full((count, most), -1, np.int8)
    for k, (places, which) in enumerate(zip(atoms_yx, kinds, strict=True)):
        padded[k, : len(places)], labels[k, : len(which)] = places, which
    return TrainingSet(images, padded, labels, _each("radius of an atom's disc in px", radius_px, count), _pixel_sizes(pixel_nm, count), classes)


def masked_set(images: NDArray[Any], masks: NDArray[Any], pixel_nm: float | NDArray[np.floating] | None = None, classes: int | None = None) -> TrainingSet:
    """A training set of images (n, rows, columns) and masks (n, rows, columns) of class numbers, or (n, classes, rows, columns).

    Class numbers count from 1, 0 is background; of masks with an axis of classes, anything above 0 is inside.

    classes : how many there are; by default as many as the masks have

    Raises
    ------
    InputError
        where shapes don't fit, an image, class number or pixel size is impossible, or every mask is empty.
    """
    check_images(images)
    if masks.ndim not in (3, 4) or len(masks) != len(images) or masks.shape[-2:] != images.shape[1:]:
        raise InputError(f"images of shape {list(images.shape)} and masks of shape {list(masks.shape)} don't fit")
    if not (masks > 0).any():
        raise InputError("every mask is empty; there is nothing to learn")
    if masks.ndim == 3:
        masks = _one_a_class(masks, classes)
    if classes not in (None, masks.shape[1]):
        raise InputError(f"the masks have {masks.shape[1]} classes, {classes} are named")
    count = len(images)
    none = np.full((count, 1, 2), np.nan, np.float32), np.full((count, 1), -1, np.int8)
    inside = ((masks > 0) * np.uint8(255)).astype(np.uint8)
    return TrainingSet(images, *none, np.full(count, np.nan, np.float32), _pixel_sizes(pixel_nm, count), masks.shape[1], inside)


def check_images(images: NDArray[Any]) -> None:
    """See that training can use these images.

    Raises
    ------
    InputError
        where they are no stack of images of finite numbers.
    """
    if images.ndim != 3 or not images.size:
        raise InputError(f"training images have shape {list(images.shape)}, not (images, rows, columns)")
    bad = [k for k, image in enumerate(images) if not np.isfinite(image).all()]
    if bad:
        raise InputError(f"training image {bad[0]} has pixels that are not finite" + (f", and {len(bad) - 1} more" if len(bad) > 1 else ""))


def _one_a_class(masks: NDArray[Any], classes: int | None) -> NDArray[np.bool_]:
    """Masks (n, classes, rows, columns) of masks of class numbers."""
    most = float(masks.max())
    if most > (_MOST_CLASSES if classes is None else classes):
        named = "" if classes is None else f", but there {'is 1 class' if classes == 1 else f'are {classes} classes'}"
        raise InputError(f"the masks have class numbers up to {most:g}{named}; where anything above 0 is an atom, give masks > 0")
    if not np.array_equal(masks, np.rint(masks)):
        raise InputError("the masks are not class numbers, 0, 1, ...; where they are probabilities, give masks > 0.5")
    return np.stack([masks == k for k in range(1, int(most) + 1)], 1)


def _pixel_sizes(pixel_nm: float | NDArray[np.floating] | None, count: int) -> NDArray[np.float32]:
    return np.full(count, np.nan, np.float32) if pixel_nm is None else _each("pixel size in nm", pixel_nm, count)


def _each(what: str, value: float | NDArray[np.floating], count: int) -> NDArray[np.float32]:
    """One value an image, from one for all or one an image."""
    values = np.asarray(value, np.float32)
    if values.size != 1 and values.shape != (count,):
        raise InputError(f"the {what} has shape {list(values.shape)}, not one for all or one for each of {count} images")
    wrong = values[~((values > 0) & np.isfinite(values))]
    if wrong.size:
        raise InputError(f"the {what} must be a positive number, got {wrong.flat[0]:g}")
    return np.ascontiguousarray(np.broadcast_to(values.reshape(-1), (count,)))
