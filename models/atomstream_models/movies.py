"""Frames in files."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from .errors import InputError
from .lengths import nm_per
from .recording import HDF5_SUFFIXES, NoImages, open_images

_NAMES = ("images", "image", "frames", "frame")


class UnreadableFile(InputError):
    """A file that holds no frames that can be read."""


def read_movie(file: Path) -> tuple[NDArray[Any], float | None]:
    """The frames in a file, shape (frames, rows, columns), and their pixel size in nm where the file says.

    A .npz file says it as `pixel_size_nm`, a TIFF file by ImageJ's calibration in a unit of length, HDF5 files and recordings by NeXus's axes. Where an
    HDF5 file holds more than one stack of frames, its name follows the file's after two colons: `scan.h5::entry/images_001`. Boolean frames come as 0 and 1.

    Raises
    ------
    UnreadableFile
        naming what is wrong with the file.
    """
    pixel_nm, kind = None, file.suffix.lower()
    try:
        if kind == ".npz":
            images, pixel_nm = _read_npz(file)
        elif kind == ".npy":
            images = _read_npy(file)
        elif kind in (".tif", ".tiff"):
            images, pixel_nm = _read_tiff(file)
        elif (found := split_dataset(file))[0].suffix.lower() in HDF5_SUFFIXES:
            images, pixel_nm = _read_hdf5(*found)
        else:
            raise UnreadableFile(f"{file} is not a .npy, .npz, TIFF or HDF5 file")
    except UnreadableFile:
        raise
    except OSError as error:
        raise UnreadableFile(f"{file} can't be read: {error.strerror or error}") from error
    except Exception as error:  # numpy, zipfile and tifffile raise far more types for damaged files than they document
        raise UnreadableFile(f"{file} can't be read: {str(error) or type(error).__name__}") from error
    return _frames(file, images), pixel_nm


def _frames(file: Path, images: NDArray[Any]) -> NDArray[Any]:
    """An array as frames, if it can be such."""
    if images.dtype.kind == "c":
        raise UnreadableFile(f"{file} holds complex numbers ({images.dtype}), not frames: give the magnitude")
    if images.dtype.kind not in "biuf":
        raise UnreadableFile(f"{file} holds an array of {images.dtype}, not of numbers")
    if images.ndim > 2 and images.shape[-1] in (3, 4) and min(images.shape[-3:-1]) > images.shape[-1]:
        raise UnreadableFile(f"{file} holds an array of shape {list(images.shape)}, which looks like colours: frames have one number a pixel")
    images = images[None] if images.ndim == 2 else images
    if images.ndim != 3 or 0 in images.shape:
        raise UnreadableFile(f"{file} holds an array of shape {list(images.shape)}, not frames (frames, rows, columns)")
    return images.astype(np.uint8) if images.dtype.kind == "b" else images


def _read_npz(file: Path) -> tuple[NDArray[Any], float | None]:
    with file.open("rb") as data:
        if not zipfile.is_zipfile(data):
            raise UnreadableFile(f"{file} is not an .npz file")
    with np.load(file, allow_pickle=False) as arrays:
        name = next((name for name in _NAMES if name in arrays.files), None)
        if name is None:
            raise UnreadableFile(f"{file} holds {', '.join(arrays.files) or 'nothing'}; name the frames 'images'")
        return arrays[name], _pixel_nm(file, arrays["pixel_size_nm"]) if "pixel_size_nm" in arrays.files else None


def _pixel_nm(file: Path, value: NDArray[Any]) -> float:
    if value.size != 1 or value.dtype.kind not in "iuf":
        raise UnreadableFile(f"{file}: pixel_size_nm is an array of {value.dtype} of shape {list(value.shape)}, not one number")
    if not 0 < (size := float(value.item())) < np.inf:
        raise UnreadableFile(f"{file}: pixel_size_nm is {size:g}, which is not the size of a pixel")
    return size


def _read_npy(file: Path) -> NDArray[Any]:
    with file.open("rb") as data:
        if data.read(len(np.lib.format.MAGIC_PREFIX)) != np.lib.format.MAGIC_PREFIX:
            raise UnreadableFile(f"{file} is not an .npy file")
    return np.asarray(np.load(file, allow_pickle=False))


def _read_tiff(file: Path) -> tuple[NDArray[Any], float | None]:
    with tifffile.TiffFile(file) as tiff:
        series = tiff.series[0]
        if "S" in series.axes:
            raise UnreadableFile(f"{file} holds colour images, not frames")
        return np.asarray(series.asarray()), _imagej_pixel_nm(tiff)


def split_dataset(file: Path) -> tuple[Path, str | None]:
    """A name such as `scan.h5::entry/images_001` as the file and the dataset in it, which is None where none is named."""
    name, colons, dataset = str(file).partition("::")
    return Path(name), dataset if colons else None


def _read_hdf5(file: Path, dataset: str | None) -> tuple[NDArray[Any], float | None]:
    try:
        stack = open_images(file, dataset)
    except NoImages as error:
        raise UnreadableFile(str(error)) from error
    try:
        return stack.whole(), stack.pixel_nm
    finally:
        stack.close()


def _imagej_pixel_nm(tiff: tifffile.TiffFile) -> float | None:
    """The pixel size by ImageJ's calibration; None where there is none, its unit is no length that we know, or pixels aren't square."""
    about, tags = tiff.imagej_metadata or {}, tiff.pages.first.tags
    unit = nm_per(str(about.get("unit", "")))
    x, y = tags.get("XResolution"), tags.get("YResolution")
    if unit is None or x is None or y is None or about.get("yunit", about["unit"]) != about["unit"]:
        return None
    (across, width), (down, height) = x.value, y.value
    if not (across and width and down and height) or across == width:
        # One pixel a unit is what stands in files that nobody has calibrated.
        return None
    # Pixels per unit are fractions that the writer rounded.
    if not math.isclose(width / across, height / down, rel_tol=1e-3):
        return None
    return float(unit * width / across)


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
