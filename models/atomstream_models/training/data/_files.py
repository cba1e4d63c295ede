"""Training images that users bring."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ._set import TrainingSet, check_images, masked_set, training_set

_NAMES = {"images", "masks", "atoms", "radius_px", "pixel_size_nm"}


def load_images(path: Path, classes: int) -> TrainingSet:
    """The training set in an .npz file.

    It holds `images` (n, rows, columns) and either `masks`, (n, rows, columns) of class numbers with 0 for the background or
    (n, classes, rows, columns), or `atoms` (N, 3) or (N, 4): image number, y, x in pixels and, with several classes, the class
    index (-1 for what is not to be found, -2 for what nobody knows), together with `radius_px`, the radius of an atom's disc. `pixel_size_nm` may say the
    pixel size. Radius and pixel size are one number, or one for each image.

    Raises
    ------
    InputError
        naming the file and what is missing or does not fit.
    """
    arrays = _arrays(path)
    if "images" not in arrays or not ("masks" in arrays or "atoms" in arrays):
        raise InputError(f"{path} holds {', '.join(arrays) or 'nothing'}; training needs 'images' and 'masks' or 'atoms'")
    if "masks" not in arrays and "radius_px" not in arrays:
        raise InputError(f"{path} has atoms, but no 'radius_px', the radius of an atom's disc in pixels")
    for name in _NAMES & arrays.keys():
        if arrays[name].dtype.kind not in "biuf":
            raise InputError(f"{path}: {name!r} is not of numbers, but of type {arrays[name].dtype}")
    images, pixel_nm = arrays["images"], arrays.get("pixel_size_nm")
    try:
        check_images(images)
        if "masks" in arrays:
            return masked_set(images, arrays["masks"], pixel_nm, classes)
        atoms, kinds = _by_image(arrays["atoms"], len(images))
        return training_set(images, atoms, kinds, arrays["radius_px"], classes, pixel_nm)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    try:
        file = np.load(path, allow_pickle=False)
        if isinstance(file, np.lib.npyio.NpzFile):
            with file:
                return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path} can't be read as .npz: {error}") from error
    raise InputError(f"{path} is a single array; training needs an .npz file with 'images' and 'masks' or 'atoms'")


def _by_image(atoms: NDArray[Any], images: int) -> tuple[list[NDArray[Any]], list[NDArray[np.int64]]]:
    """Each image's atoms (N, 2) and class indices (N,)."""
    if atoms.ndim != 2 or atoms.shape[1] not in (3, 4):
        raise InputError(f"'atoms' has shape {list(atoms.shape)}, not (N, 3) or (N, 4): image, y, x, class")
    numbers, kinds = atoms[:, 0], atoms[:, 3] if atoms.shape[1] == 4 else np.zeros(len(atoms))
    nowhere = np.flatnonzero(~np.isin(numbers, np.arange(images)))
    if len(nowhere):
        raise InputError(
            f"atom {nowhere[0]} is in image {numbers[nowhere[0]]:g}, but the images are 0 to {images - 1}; {len(nowhere)} atoms are in none of them"
        )
    odd = np.flatnonzero((kinds != np.rint(kinds)) | (kinds < -2))
    if len(odd):
        raise InputError(f"atom {odd[0]} is of class {kinds[odd[0]]:g}; classes are 0, 1, ..., and -1 and -2 stand for none")
    mine = [numbers == k for k in range(images)]
    return [atoms[one, 1:3] for one in mine], [kinds[one].astype(np.int64) for one in mine]
