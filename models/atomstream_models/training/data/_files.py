"""Training images that users bring."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ._set import TrainingSet, masked_set, training_set


def load_images(path: Path, classes: int) -> TrainingSet:
    """The training set in an .npz file.

    It holds `images` (n, rows, columns) and either `masks`, (n, rows, columns) of class numbers with 0 for the background or
    (n, classes, rows, columns), or `atoms` (N, 3) or (N, 4): image number, y, x in pixels and, with several classes, the class
    index, together with `radius_px`, the radius of an atom's disc. `pixel_size_nm` may say the pixel size.

    Raises
    ------
    InputError
        naming what is missing or does not fit.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays: dict[str, NDArray[Any]] = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path} can't be read as .npz: {error}") from error
    if "images" not in arrays or not ("masks" in arrays or "atoms" in arrays):
        raise InputError(f"{path} holds {', '.join(arrays) or 'nothing'}; training needs 'images' and 'masks' or 'atoms'")
    pixel_nm = float(arrays["pixel_size_nm"]) if "pixel_size_nm" in arrays else None
    images = arrays["images"]
    if "masks" in arrays:
        made = masked_set(images, arrays["masks"], pixel_nm)
        if made.classes != classes:
            raise InputError(f"{path}: the masks have {made.classes} classes, {classes} are named")
        return made
    if "radius_px" not in arrays:
        raise InputError(f"{path} has atoms, but no 'radius_px', the radius of an atom's disc in pixels")
    atoms = arrays["atoms"]
    if atoms.ndim != 2 or atoms.shape[1] not in (3, 4):
        raise InputError(f"{path}: 'atoms' has shape {list(atoms.shape)}, not (N, 3) or (N, 4): image, y, x, class")
    kinds = atoms[:, 3].astype(np.int64) if atoms.shape[1] == 4 else np.zeros(len(atoms), np.int64)
    mine = [atoms[:, 0] == k for k in range(len(images))]
    return training_set(images, [atoms[one, 1:3] for one in mine], [kinds[one] for one in mine], float(arrays["radius_px"]), classes, pixel_nm)
