from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atomstream_models.analysis import MAX_GRID_PIXELS
from atomstream_models.errors import InputError
from atomstream_models.movies import Movie, open_movie
from atomstream_models.recording import HDF5_SUFFIXES, Recording, is_recording, open_recording
from atomstream_wire import Frame

_NEW_EACH_TIME = ("channels", "session", "seq", "source", "t_send")
"""What a frame that is sent once more can't have as it had it the first time."""


@dataclass(frozen=True)
class FileFrame:
    """One frame of a file.

    source : whom it came from; of files that don't know, their own name
    channels : name -> pixels
    about : what else a header can say of it, by the names of `atomstream_wire.Frame`
    """

    source: str
    channels: dict[str, NDArray[Any]]
    about: dict[str, Any]


class FileFrames:
    """Frames of a file, each read when it is asked for; close it afterwards.

    file : where they are
    recorded_s : ndarray, seconds after the first at which each came; None where the file does not say
    """

    def __init__(self, file: Path, opened: Movie | Recording, pixel_nm: tuple[float, float] | None) -> None:
        """pixel_nm : (y, x), in place of what the file says"""
        self.file = file
        self._opened = opened
        self._pixel_nm = pixel_nm
        self.recorded_s: NDArray[np.float64] | None = opened.t_recv - opened.t_recv[0] if isinstance(opened, Recording) else None

    @property
    def pixel_nm(self) -> tuple[float, float] | None:
        """(y, x) of a pixel of the first frame; None where it is unknown."""
        if self._pixel_nm is not None or isinstance(self._opened, Movie):
            return self._pixel_nm or self._opened.pixel_nm  # type: ignore[return-value]
        y, x = (float(one) for one in self._opened.pixel_nm[0])
        return None if np.isnan([y, x]).any() else (y, x)

    def __len__(self) -> int:
        return len(self._opened)

    def __getitem__(self, number: int) -> FileFrame:
        if isinstance(self._opened, Recording):
            return self._as_it_came(self._opened.frame(number).frame)
        size = self.pixel_nm
        return FileFrame(as_text(self.file.stem), {"image": self._opened[number]}, {"frame": number, "pixel_size": size})

    def __iter__(self) -> Iterator[FileFrame]:
        return (self[k] for k in range(len(self)))

    def __enter__(self) -> FileFrames:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._opened.close()

    def _as_it_came(self, frame: Frame) -> FileFrame:
        about = {field.name: getattr(frame, field.name) for field in fields(Frame) if field.name not in _NEW_EACH_TIME}
        if self._pixel_nm is not None:
            about.update(pixel_size=self._pixel_nm, pixel_unit="nm")
        return FileFrame(frame.source, dict(frame.channels), about)


def as_text(name: str | Path) -> str:
    """A file's name as it can be sent and printed: bytes in it that are no UTF-8, such as those of a share in another code, are question marks."""
    return str(name).encode(errors="replace").decode()


def open_frames(file: Path, dataset: str | None = None, pixel_nm: float | None = None) -> FileFrames:
    """The frames of a recording, with the headers that they came with, or of any file that `open_movie` reads.

    dataset : as for `open_movie`
    pixel_nm : side of a pixel, in place of what the file says

    Raises
    ------
    InputError
        naming what is wrong with the file.
    """
    size = None if pixel_nm is None else (pixel_nm, pixel_nm)
    if dataset is None and file.suffix.lower() in HDF5_SUFFIXES and is_recording(file):
        recording = open_recording(file)
        if not len(recording):
            recording.close()
            raise InputError(f"{file} holds no frame")
        return FileFrames(file, recording, size)
    movie = open_movie(file, dataset)
    _, rows, columns = movie.shape
    if rows * columns > MAX_GRID_PIXELS:
        movie.close()
        raise InputError(f"{file}: frames of {rows}x{columns} pixels are larger than the {MAX_GRID_PIXELS} pixels that a frame may have")
    return FileFrames(movie.file, movie, size)
