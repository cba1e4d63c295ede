"""One frame out of a file's bytes: .npy, .npz, TIFF or PNG."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import tifffile
from numpy.lib import format as npy
from numpy.typing import NDArray

from atomstream_wire import DTYPES

from ._refusal import RequestRefused


@dataclass(frozen=True)
class UploadedFrame:
    """image : ndarray, shape (rows, columns); pixel_size_nm : from the file, where it says."""

    image: NDArray[Any]
    pixel_size_nm: float | None


def read_frame(data: bytes, max_pixels: int) -> UploadedFrame:
    """The frame in an uploaded file.

    Raises
    ------
    RequestRefused
        400 for a damaged file, 413 for one that is too large, 415 for another kind of file, 422 for what is not one frame.
    """
    try:
        frame = _read(data, max_pixels)
    except RequestRefused:
        raise
    except Exception as error:  # the readers raise whatever a damaged file makes them stumble over
        raise RequestRefused(400, "damaged_file", f"the file can't be read: {error}") from error
    image = frame.image
    if image.ndim != 2 or 0 in image.shape:
        raise RequestRefused(422, "not_one_frame", f"the file holds an array of shape {list(image.shape)}, not one frame (rows, columns)")
    if image.dtype == np.bool_ or image.dtype.str[1:] not in DTYPES:
        raise RequestRefused(422, "bad_dtype", f"the file holds {image.dtype}, a frame is one of {', '.join(DTYPES)}")
    _check_size(image.size, max_pixels)
    return frame


def _read(data: bytes, max_pixels: int) -> UploadedFrame:
    if data.startswith(b"\x93NUMPY"):
        return UploadedFrame(_npy(data, max_pixels), None)
    if data.startswith(b"PK\x03\x04"):
        return _npz(data, max_pixels)
    if data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return UploadedFrame(_tiff(data, max_pixels), None)
    if data.startswith(b"\x89PNG"):
        return UploadedFrame(_png(data, max_pixels), None)
    raise RequestRefused(415, "unknown_format", "the body is not .npy, .npz, TIFF or PNG")


def _check_size(pixels: int, max_pixels: int) -> None:
    if pixels > max_pixels:
        raise RequestRefused(413, "too_large", f"{pixels} pixels are more than the {max_pixels} allowed")


def _npy(data: bytes, max_pixels: int) -> NDArray[Any]:
    """Read an .npy after its header: a size that the data does not have must not be allocated."""
    stream = io.BytesIO(data)
    version = npy.read_magic(stream)
    shape, _, dtype = npy.read_array_header_1_0(stream) if version == (1, 0) else npy.read_array_header_2_0(stream)
    if dtype.hasobject:
        raise RequestRefused(422, "bad_dtype", "the file holds Python objects, which are never read")
    pixels = int(np.prod(shape, dtype=object))
    _check_size(pixels, max_pixels)
    if pixels * dtype.itemsize != len(data) - stream.tell():
        raise RequestRefused(400, "damaged_file", f"the file says {list(shape)} of {dtype}, but {len(data) - stream.tell()} bytes follow")
    stream.seek(0)
    return np.asarray(np.load(stream, allow_pickle=False))


def _npz(data: bytes, max_pixels: int) -> UploadedFrame:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist() if entry.filename.endswith(".npy")}
        known: list[str] = [key for key in ("image", "frame") if key in entries]
        named = known or (list(entries) if len(entries) == 1 else [])
        if not named:
            raise RequestRefused(422, "not_one_frame", f"the file holds {', '.join(entries) or 'no array'}; name the frame 'image'")
        _check_size(entries[named[0]].file_size // 8, max_pixels)
        image = _npy(archive.read(entries[named[0]]), max_pixels)
        size = entries.get("pixel_size_nm")
        pixel_size = float(_npy(archive.read(size), 1)) if size is not None and size.file_size < 4096 else None
    return UploadedFrame(image, pixel_size if pixel_size is not None and pixel_size > 0 else None)


def _tiff(data: bytes, max_pixels: int) -> NDArray[Any]:
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        if len(file.pages) != 1:
            raise RequestRefused(422, "not_one_frame", f"the file holds {len(file.pages)} pages, send one frame")
        page = file.pages[0]
        _check_size(int(np.prod(page.shape, dtype=object)), max_pixels)
        return np.asarray(page.asarray())


def _png(data: bytes, max_pixels: int) -> NDArray[Any]:
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    _check_size(width * height, max_pixels)
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise RequestRefused(400, "damaged_file", "the PNG can't be read")
    return np.asarray(image)
