from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ._movie import Raw, UnreadableFile

_NM_PER_M = 1e9
_IMAGES = 0x4122
_TYPES = {1: "<u1", 2: "<u2", 3: "<u4", 4: "<i1", 5: "<i2", 6: "<i4", 7: "<f4", 8: "<f8"}
_BEFORE_PIXELS = 50
_LONG_OFFSETS = 0x220
"""The version from which on offsets have 8 bytes."""


def open_ser(file: Path) -> Raw:
    """A series of images by TIA (.ser; layout after C. Boothroyd, "TIA .ser file format"), which stores the lowest row first."""
    with file.open("rb") as data:
        head = data.read(30)
        if len(head) < 30 or struct.unpack_from("<HH", head) != (0x4949, 0x0197):
            raise UnreadableFile(f"{file} is not a .ser file")
        version, kind, _, _, valid = struct.unpack_from("<HIIII", head, 4)
        if kind != _IMAGES:
            raise UnreadableFile(f"{file} holds spectra, not frames")
        if not valid:
            raise UnreadableFile(f"{file} holds no frame")
        wide = version >= _LONG_OFFSETS
        (table,) = struct.unpack_from("<Q" if wide else "<I", head, 22)
        data.seek(table)
        starts = np.frombuffer(_exactly(data, valid * (8 if wide else 4)), "<u8" if wide else "<u4")
        _, size_x, size_y, shape, dtype = _about(data, int(starts[0]))
    pixel_nm = (_NM_PER_M * abs(size_y), _NM_PER_M * abs(size_x))
    known = all(0 < size < np.inf for size in pixel_nm)
    images = _Images(file, starts, shape, dtype)
    return Raw((valid, *shape), dtype, images.read, pixel_nm if known else None, images.close)


class _Images:
    """Images that lie in a file one by one, each behind its own header."""

    def __init__(self, file: Path, starts: NDArray[Any], shape: tuple[int, int], dtype: np.dtype[Any]) -> None:
        self._data = file.open("rb")
        self._starts, self._shape, self._dtype = starts, shape, dtype

    def read(self, number: int) -> NDArray[Any]:
        *_, shape, dtype = _about(self._data, int(self._starts[number]))
        if (shape, dtype) != (self._shape, self._dtype):
            raise ValueError(f"it has {list(shape)} pixels of {dtype}, the first one {list(self._shape)} of {self._dtype}")
        return np.frombuffer(_exactly(self._data, int(np.prod(shape)) * dtype.itemsize), dtype).reshape(shape)[::-1]

    def close(self) -> None:
        self._data.close()


def _about(data: BinaryIO, start: int) -> tuple[float, float, float, tuple[int, int], np.dtype[Any]]:
    """Of one image: (x of its origin, width and height of a pixel in m, (rows, columns), type); leaves the file at its pixels."""
    data.seek(start)
    x, size_x, _, _, size_y, _, kind, columns, rows = struct.unpack("<ddIddIHII", _exactly(data, _BEFORE_PIXELS))
    if kind not in _TYPES:
        raise ValueError(f"pixels of type {kind} are no real numbers")
    return x, size_x, size_y, (rows, columns), np.dtype(_TYPES[kind])


def _exactly(data: BinaryIO, count: int) -> bytes:
    found = data.read(count)
    if len(found) < count:
        raise EOFError(f"the file ends {count - len(found)} bytes too early")
    return found
