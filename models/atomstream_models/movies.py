"""Frames in files."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from .errors import InputError

_NAMES = ("images", "image", "frames", "frame")


class UnreadableFile(InputError):
    """A file that holds no frames that can be read."""


def read_movie(file: Path) -> tuple[NDArray[Any], float | None]:
    """The frames in a file, shape (frames, rows, columns), and their pixel size in nm where the file says.

    Raises
    ------
    UnreadableFile
        naming what is wrong with the file.
    """
    pixel_nm, kind = None, file.suffix.lower()
    try:
        if kind == ".npz":
            with np.load(file, allow_pickle=False) as arrays:
                name = next((name for name in _NAMES if name in arrays.files), None)
                if name is None:
                    raise UnreadableFile(f"{file} holds {', '.join(arrays.files)}; name the frames 'images'")
                images = arrays[name]
                pixel_nm = float(arrays["pixel_size_nm"]) if "pixel_size_nm" in arrays.files else None
        elif kind == ".npy":
            images = np.load(file, allow_pickle=False)
        elif kind in (".tif", ".tiff"):
            images = _read_tiff(file)
        else:
            raise UnreadableFile(f"{file} is not a .npy, .npz or TIFF file")
    except (OSError, ValueError, EOFError, LookupError, TypeError, MemoryError, zipfile.BadZipFile, zlib.error, tifffile.TiffFileError) as error:
        raise UnreadableFile(f"{file} can't be read: {error}") from error
    images = images[None] if images.ndim == 2 else images
    if images.ndim != 3 or 0 in images.shape:
        raise UnreadableFile(f"{file} holds an array of shape {list(images.shape)}, not frames (frames, rows, columns)")
    return images, pixel_nm


def _read_tiff(file: Path) -> NDArray[Any]:
    with tifffile.TiffFile(file) as tiff:
        series = tiff.series[0]
        if "S" in series.axes:
            raise UnreadableFile(f"{file} holds colour images, not frames")
        return np.asarray(series.asarray())


def frame_numbers(text: str, count: int, flag: str) -> list[int]:
    """The frame numbers in a text such as `0,5,11` or `0-5,9`, in rising order, each below `count`.

    Raises
    ------
    InputError
        naming the part that isn't a frame number, or the frame that isn't there.
    """
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()) or (dash and int(last) < int(first)):
            raise InputError(f"{flag}: {part.strip()!r} is neither a frame number nor a range of them")
        if int(last or first) >= count:
            raise InputError(f"{flag}: there is no frame {last or first}; there are {count}, counted from 0")
        found.update(range(int(first), int(last or first) + 1))
    return sorted(found)
