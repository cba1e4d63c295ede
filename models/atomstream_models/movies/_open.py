from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..errors import ExtraMissing
from ..recording import HDF5_SUFFIXES
from ._arrays import open_npy, open_npz
from ._hdf5 import open_h5
from ._movie import Movie, Raw, UnreadableFile
from ._mrc import open_mrc
from ._nion import open_ndata
from ._rosettasciio import PLUGINS, open_rosettasciio
from ._ser import open_ser
from ._tiff import open_tiff

_PLAIN: Mapping[str, Callable[[Path], Raw]] = {
    ".npy": open_npy,
    ".npz": open_npz,
    ".tif": open_tiff,
    ".tiff": open_tiff,
    ".ndata": open_ndata,
    ".mrc": open_mrc,
    ".mrcs": open_mrc,
    ".ser": open_ser,
}
_NAMED: Mapping[str, Callable[[Path, str | None], Raw]] = {**dict.fromkeys(HDF5_SUFFIXES, open_h5), **dict.fromkeys(PLUGINS, open_rosettasciio)}
"""Formats that may hold several arrays."""

SUFFIXES = (*_PLAIN, *_NAMED)
"""What files of frames end in."""


def open_movie(file: Path, dataset: str | None = None) -> Movie:
    """The frames in a file, of which none is read yet.

    .npy, .npz, TIFF, MRC, TIA's .ser, Nion Swift's .ndata and .h5, HyperSpy's .hspy, EMD of both kinds, recordings, other HDF5; with the extra `formats`
    DigitalMicrograph's .dm3 and .dm4 and HyperSpy's .zspy. Where a file holds more than one stack of frames, `dataset` or a name behind two colons
    (`scan.h5::entry/images_001`) says which.

    Raises
    ------
    UnreadableFile
        naming what is wrong with the file.
    ExtraMissing
        for a format that needs a package that isn't installed.
    """
    if dataset is None:
        file, dataset = _split(file)
    kind = file.suffix.lower()
    try:
        if not file.exists():
            raise FileNotFoundError(2, "No such file or directory")
        if kind in _NAMED:
            raw = _NAMED[kind](file, dataset)
        elif kind not in _PLAIN:
            raise UnreadableFile(f"{file} is not a {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]} file")
        elif dataset is not None:
            raise UnreadableFile(f"{file}: naming a dataset is about HDF5 files and others that may hold several; this one holds one")
        else:
            raw = _PLAIN[kind](file)
    except (ExtraMissing, UnreadableFile):
        raise
    except OSError as error:
        raise UnreadableFile(f"{file} can't be read: {error.strerror or error}") from error
    except Exception as error:  # readers raise far more types for damaged files than they document
        raise UnreadableFile(f"{file} can't be read: {str(error) or type(error).__name__}") from error
    try:
        return Movie(file, raw)
    except UnreadableFile:
        raw.close()
        raise


def read_movie(file: Path) -> tuple[NDArray[Any], float | None]:
    """All frames of a file at once, shape (frames, rows, columns), and the side of their pixels in nm; None where the file does not say or they are not square.

    Reads what `open_movie` does, and raises the same.
    """
    with open_movie(file) as movie:
        return movie.whole(), _square(movie.pixel_nm)


def _square(pixel_nm: tuple[float, float] | None) -> float | None:
    """The side of a pixel, where it is known and both are the same but for what writers round off."""
    if pixel_nm is None or not math.isclose(*pixel_nm, rel_tol=1e-3):
        return None
    return pixel_nm[1]


def _split(file: Path) -> tuple[Path, str | None]:
    """A name such as `scan.h5::entry/images_001` as the file and the dataset in it, which is None where none is named."""
    name, colons, dataset = str(file).partition("::")
    return Path(name), dataset if colons else None
