"""NumPy's own files, also inside zip files."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ._flat import flat
from ._movie import Raw, UnreadableFile

_NAMES = ("images", "image", "frames", "frame")
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def open_npy(file: Path) -> Raw:
    with file.open("rb") as data:
        if data.read(len(np.lib.format.MAGIC_PREFIX)) != np.lib.format.MAGIC_PREFIX:
            raise UnreadableFile(f"{file} is not an .npy file")
        data.seek(0)
        shape, in_columns, dtype = _header(data)
        start = data.tell()
    if not in_columns:
        return flat(file, start, shape, dtype)
    images: NDArray[Any] = np.load(file, mmap_mode="r", allow_pickle=False)
    return Raw(shape, dtype, lambda k: images if images.ndim == 2 else images[k])


def open_npz(file: Path) -> Raw:
    archive = open_zip(file, "an .npz file")
    try:
        names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
        name = next((name for name in _NAMES if name in names), None)
        if name is None:
            raise UnreadableFile(f"{file} holds {', '.join(names) or 'nothing'}; name the frames 'images'")
        pixel_nm = None
        if "pixel_size_nm" in names:
            with archive.open("pixel_size_nm.npy") as one:
                pixel_nm = _pixel_nm(file, np.asarray(np.lib.format.read_array(one, allow_pickle=False)))
        return in_zip(archive, f"{name}.npy", pixel_nm)
    except BaseException:
        archive.close()
        raise


def open_zip(file: Path, what: str) -> zipfile.ZipFile:
    with file.open("rb") as data:
        if not zipfile.is_zipfile(data):
            raise UnreadableFile(f"{file} is not {what}")
    return zipfile.ZipFile(file)


def in_zip(archive: zipfile.ZipFile, name: str, pixel_nm: tuple[float, float] | None) -> Raw:
    """An .npy array in a zip file, compressed or not, of which one frame is unpacked at a time; reading frames in order is fast, going back is not."""
    stream = archive.open(name)
    shape, in_columns, dtype = _header(stream)
    start = stream.tell()
    frame = shape[-2:]
    frame_bytes = int(np.prod(frame)) * dtype.itemsize
    if in_columns:
        # The last index counts fastest the other way round, so that no frame lies in one piece.
        with archive.open(name) as whole:
            images = np.asarray(np.lib.format.read_array(whole, allow_pickle=False))
        return Raw(shape, dtype, lambda k: images if images.ndim == 2 else images[k], pixel_nm, archive.close)

    def read(number: int) -> NDArray[Any]:
        at = start + number * frame_bytes
        if stream.tell() != at:
            stream.seek(at)
        data = stream.read(frame_bytes)
        if len(data) < frame_bytes:
            raise EOFError(f"{name} ends after {len(data)} of {frame_bytes} bytes")
        return np.frombuffer(data, dtype).reshape(frame)

    def close() -> None:
        stream.close()
        archive.close()

    return Raw(shape, dtype, read, pixel_nm, close)


def _header(stream: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(stream)
    if version not in _HEADERS:
        raise ValueError(f"version {version} of the .npy format is not for numbers")
    source: BinaryIO = stream
    shape, in_columns, dtype = _HEADERS[version](source)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are never read")
    return shape, in_columns, dtype


def _pixel_nm(file: Path, value: NDArray[Any]) -> tuple[float, float]:
    if value.size not in (1, 2) or value.dtype.kind not in "iuf":
        raise UnreadableFile(f"{file}: pixel_size_nm is an array of {value.dtype} of shape {list(value.shape)}, not one number, nor (y, x)")
    y, x = (float(one) for one in np.broadcast_to(value.reshape(-1), 2))
    if not (0 < y < np.inf and 0 < x < np.inf):
        raise UnreadableFile(f"{file}: pixel_size_nm is {min(y, x):g}, which is not the size of a pixel")
    return y, x
