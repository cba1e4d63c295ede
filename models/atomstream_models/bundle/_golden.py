"""Golden frames: a frame with the answer that the bundle's maker got."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._errors import BundleError

_MOST_BYTES = 1 << 29


@dataclass(frozen=True)
class GoldenFrame:
    """A frame and the whole ensemble's answer to it.

    frame : ndarray, shape (rows, columns)
    pixel_size_nm : pixel size in nm, or None where it is unknown
    mean, std : ndarrays, shape (classes, rows, columns); std None for a single member
    atoms : how many atoms were found
    """

    frame: NDArray[Any]
    pixel_size_nm: float | None
    mean: NDArray[np.float32]
    std: NDArray[np.float32] | None
    atoms: int


def save_golden(path: Path, golden: GoldenFrame) -> None:
    """Write one golden frame. Maps are kept as float16, enough for any tolerance that a second machine can meet."""
    arrays: dict[str, NDArray[Any]] = {"frame": golden.frame, "mean": golden.mean.astype(np.float16), "atoms": np.array(golden.atoms)}
    if golden.std is not None:
        arrays["std"] = golden.std.astype(np.float16)
    if golden.pixel_size_nm is not None:
        arrays["pixel_size_nm"] = np.array(golden.pixel_size_nm)
    np.savez_compressed(path, allow_pickle=False, **arrays)


def load_golden(path: Path) -> GoldenFrame:
    """Read one golden frame.

    Raises
    ------
    BundleError
        for a file that is not one.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > _MOST_BYTES:
            raise BundleError("golden", f"{path.name} unpacks to {size} bytes, more than the {_MOST_BYTES} allowed")
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        golden = GoldenFrame(
            frame=arrays["frame"],
            pixel_size_nm=float(arrays["pixel_size_nm"]) if "pixel_size_nm" in arrays else None,
            mean=arrays["mean"].astype(np.float32),
            std=arrays["std"].astype(np.float32) if "std" in arrays else None,
            atoms=int(arrays["atoms"]),
        )
    except BundleError:
        raise
    except (KeyError, ValueError, OSError, EOFError, TypeError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise BundleError("golden", f"{path.name} is not a golden frame: {error}") from error
    if golden.frame.ndim != 2 or golden.mean.ndim != 3 or golden.mean.shape[1:] != golden.frame.shape:
        raise BundleError("golden", f"{path.name}: frame {golden.frame.shape} and mean {golden.mean.shape} don't fit")
    if golden.std is not None and golden.std.shape != golden.mean.shape:
        raise BundleError("golden", f"{path.name}: mean {golden.mean.shape} and std {golden.std.shape} don't fit")
    return golden
