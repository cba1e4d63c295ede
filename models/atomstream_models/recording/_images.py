"""Frames in any HDF5 file: a recording's, NeXus's default plot, or the only stack of images that is there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..lengths import nm_per
from . import layout as at
from ._open import open_hdf5

HDF5_SUFFIXES = (".h5", ".hdf5", ".nxs", ".nx", ".hdf", ".emd", ".hspy")
_LEAST_SIDE = 8
"""Pixels: what is smaller is no image but a table or a list of positions."""


class NoImages(InputError):
    """A file without frames, or with several arrays that may be meant."""


@dataclass
class ImageStack:
    """Frames in a file, read one at a time; close it afterwards.

    name : of the dataset
    shape : (frames, rows, columns)
    pixel_nm : (y, x) of a pixel, where the file says it
    """

    name: str
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    pixel_nm: tuple[float, float] | None
    _file: h5py.File
    _data: h5py.Dataset

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, number: int) -> NDArray[Any]:
        image: NDArray[Any] = self._data[()] if self._data.ndim == 2 else self._data[number]
        return image

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return (self[k] for k in range(len(self)))

    @property
    def together(self) -> int:
        """How many frames lie in one piece and are best read at once."""
        return self._data.chunks[0] if self._data.ndim == 3 and self._data.chunks is not None else 1

    def part(self, first: int, end: int) -> NDArray[Any]:
        """Frames from `first` to the one before `end`."""
        images: NDArray[Any] = self._data[first:end] if self._data.ndim == 3 else self._data[()][None]
        return images

    def close(self) -> None:
        self._file.close()


def open_images(file: Path, dataset: str | None = None) -> ImageStack:
    """The frames in an HDF5 file.

    dataset : which array, or the NXdata group around it; None for what the file shows first, else the only stack of images in it

    Raises
    ------
    NoImages
        naming what is there.
    OSError
        for a file that isn't HDF5, or damaged.
    """
    h5 = open_hdf5(file)
    try:
        data = _named(file, h5, dataset) if dataset is not None else _obvious(file, h5)
        shape = (1, *data.shape) if data.ndim == 2 else data.shape
        if data.file.attrs.get("schema") == at.SCHEMA and data.parent.attrs.get("series") is not None:
            committed = int(h5[at.COMMITTED][0])
            shape = (int((h5[at.FRAMES]["series"][:committed] == data.parent.attrs["series"]).sum()), *shape[1:])
        if 0 in shape:
            raise NoImages(f"{file}: {data.name} has shape {list(shape)} and holds no frame")
        return ImageStack(data.name, shape, data.dtype, _pixel_nm(data), h5, data)
    except BaseException:
        h5.close()
        raise


def _named(file: Path, h5: h5py.File, name: str) -> h5py.Dataset:
    found = h5.get(name) if name in h5 else h5.get(f"{at.ENTRY}/{name}")
    if isinstance(found, h5py.Group):
        found = found.get(_text(found.attrs.get("signal", "data")))
    if not isinstance(found, h5py.Dataset):
        raise NoImages(f"{file} has no dataset {name!r}; {_what_is_there(_stacks(h5))}")
    if not _is_images(found):
        raise NoImages(f"{file}: {name} is an array of {found.dtype} of shape {list(found.shape)}, not frames (frames, rows, columns)")
    return found


def _obvious(file: Path, h5: h5py.File) -> h5py.Dataset:
    stacks = _stacks(h5)
    if h5.attrs.get("schema") == at.SCHEMA:
        # Of frames of several kinds none is more obvious than another.
        stacks = [one for one in stacks if "series" in one.parent.attrs]
    elif (default := _default(h5)) is not None:
        return default
    movies = [one for one in stacks if one.ndim == 3] or stacks
    if len(movies) != 1:
        raise NoImages(f"{file}: {_what_is_there(movies)}" + ("; name one of them" if movies else ""))
    return movies[0]


def _default(h5: h5py.File) -> h5py.Dataset | None:
    """What NeXus's attributes say is to be shown first."""
    group: Any = h5
    with contextlib.suppress(KeyError, ValueError, TypeError):
        while "default" in group.attrs:
            group = group[_text(group.attrs["default"])]
        found = group[_text(group.attrs["signal"])]
        if isinstance(found, h5py.Dataset) and _is_images(found):
            return found
    return None


def _stacks(h5: h5py.File) -> list[h5py.Dataset]:
    found: list[h5py.Dataset] = []

    def look(_: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and _is_images(item) and item not in found:
            found.append(item)

    h5.visititems(look)
    return found


def _is_images(data: h5py.Dataset) -> bool:
    return data.dtype.kind in "biufc" and data.ndim in (2, 3) and min(data.shape[-2:]) >= _LEAST_SIDE


def _what_is_there(stacks: Sequence[h5py.Dataset]) -> str:
    if not stacks:
        return "it holds no array that looks like frames (frames, rows, columns)"
    return "it holds " + ", ".join(f"{one.name} {list(one.shape)}" for one in stacks)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _pixel_nm(data: h5py.Dataset) -> tuple[float, float] | None:
    """The steps of both axes of an NXdata group, where they are lengths."""
    group = data.parent
    axes = [_text(one) for one in np.atleast_1d(group.attrs.get("axes", []))]
    if len(axes) != data.ndim:
        return None
    y, x = (_step_nm(group.get(name)) for name in axes[-2:])
    return None if y is None or x is None else (y, x)


def _step_nm(axis: Any) -> float | None:
    if not isinstance(axis, h5py.Dataset) or axis.ndim != 1 or len(axis) < 2 or axis.dtype.kind not in "iuf":
        return None
    unit, values = nm_per(_text(axis.attrs.get("units", ""))), axis[:].astype(np.float64)
    step = (values[-1] - values[0]) / (len(values) - 1)
    return None if unit is None or not 0 < step * unit < np.inf else float(step * unit)
