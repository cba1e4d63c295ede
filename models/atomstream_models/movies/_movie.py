"""Frames in a file, whatever its format."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

_BECOMES = {"b1": "u1", "f2": "f4", "f16": "f8", "i1": "i2", "i8": "f8", "u8": "f8"}
"""Types that files have and frames don't; float64 holds whole numbers up to 2**53."""


class UnreadableFile(InputError):
    """A file that holds no frames that can be read."""


def nothing() -> None:
    """What there is to close where nothing is open."""


@dataclass(frozen=True)
class Raw:
    """An array in a file, before anybody has asked whether it can be frames.

    shape, dtype : of the whole array, the last two axes being rows and columns
    read : number of a frame -> its pixels; an array of two axes is frame 0
    pixel_nm : (y, x) of a pixel; None where the file does not say
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read: Callable[[int], NDArray[Any]]
    pixel_nm: tuple[float, float] | None = None
    close: Callable[[], None] = nothing


class Movie:
    """Frames in a file, read one at a time; close it afterwards. Not to be shared by threads.

    file : where they are
    shape : (frames, rows, columns)
    dtype : of a frame, in the file's byte order; always one that frames may have on the wire
    pixel_nm : (y, x) of a pixel; None where the file does not say
    """

    def __init__(self, file: Path, raw: Raw) -> None:
        _check(file, raw)
        self.file = file
        self.shape: tuple[int, int, int] = (1, *raw.shape) if len(raw.shape) == 2 else raw.shape  # type: ignore[assignment]
        self.dtype = _wire_dtype(raw.dtype)
        self.pixel_nm = raw.pixel_nm
        self._raw = raw

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, number: int) -> NDArray[Any]:
        """Pixels of a frame, an array of its own.

        Raises
        ------
        UnreadableFile
            where the file is damaged there.
        """
        if not 0 <= number < len(self):
            raise IndexError(number)
        try:
            image = np.array(self._raw.read(number), self.dtype, order="C")
        except Exception as error:  # as many types as there are formats
            raise UnreadableFile(f"{self.file}: frame {number} can't be read: {str(error) or type(error).__name__}") from error
        if image.shape != self.shape[1:]:
            raise UnreadableFile(f"{self.file}: frame {number} has {list(image.shape)} pixels, not {list(self.shape[1:])}")
        return image

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return (self[k] for k in range(len(self)))

    def __enter__(self) -> Movie:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def whole(self) -> NDArray[Any]:
        """All frames at once."""
        images = np.empty(self.shape, self.dtype)
        for k, image in enumerate(self):
            images[k] = image
        return images

    def close(self) -> None:
        self._raw.close()


def _wire_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    becomes = _BECOMES.get(dtype.str[1:])
    return dtype if becomes is None else np.dtype(becomes)


def _check(file: Path, raw: Raw) -> None:
    shape, dtype = raw.shape, raw.dtype
    if dtype.kind == "c":
        raise UnreadableFile(f"{file} holds complex numbers ({dtype}), not frames: give the magnitude")
    if dtype.kind not in "biuf":
        raise UnreadableFile(f"{file} holds an array of {dtype}, not of numbers")
    if len(shape) > 2 and shape[-1] in (3, 4) and min(shape[-3:-1]) > shape[-1]:
        raise UnreadableFile(f"{file} holds an array of shape {list(shape)}, which looks like colours: frames have one number a pixel")
    if len(shape) not in (2, 3) or 0 in shape:
        raise UnreadableFile(f"{file} holds an array of shape {list(shape)}, not frames (frames, rows, columns)")
