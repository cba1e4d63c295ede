from __future__ import annotations

import io
import struct

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from atomstream_service.control._refusal import RequestRefused
from atomstream_service.control._uploads import read_frame

_IMAGE = np.arange(12 * 15, dtype=np.uint16).reshape(12, 15)


def _npy(array: NDArray[np.generic]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def _npz(**arrays: object) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, allow_pickle=False, **{name: np.asarray(array) for name, array in arrays.items()})
    return stream.getvalue()


def _tiff(array: NDArray[np.generic]) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, array, photometric="minisblack")
    return stream.getvalue()


def _png(array: NDArray[np.generic]) -> bytes:
    return bytes(cv2.imencode(".png", np.asarray(array))[1])


@pytest.mark.parametrize("write", [_npy, _tiff, _png, lambda image: _npz(image=image), lambda image: _npz(anything=image)])
def test_each_kind_of_file_gives_the_frame(write: object) -> None:
    np.testing.assert_array_equal(read_frame(write(_IMAGE), 1000).image, _IMAGE)  # type: ignore[operator]


@pytest.mark.parametrize("dtype", [">u2", "<f8", "|u1", "<i4"])
def test_npy_keeps_dtype_and_byte_order(dtype: str) -> None:
    assert read_frame(_npy(_IMAGE.astype(dtype)), 1000).image.dtype == np.dtype(dtype)


def test_npz_may_bring_its_pixel_size() -> None:
    assert read_frame(_npz(image=_IMAGE, pixel_size_nm=0.0125), 1000).pixel_size_nm == 0.0125


_HUGE = b"\x93NUMPY\x01\x00" + struct.pack("<H", 70) + b"{'descr': '<f8', 'fortran_order': False, 'shape': (900000, 900000)}".ljust(69) + b"\n"


@pytest.mark.parametrize(
    ("data", "status", "named"),
    [
        (b"hello", 415, "not .npy"),
        (_npy(_IMAGE)[:-5], 400, "bytes follow"),
        (_HUGE, 413, "810000000000 pixels"),
        (_npy(np.array([[{}]], object)), 422, "objects"),
        (_npy(np.zeros((2, 3, 4), "f4")), 422, "[2, 3, 4]"),
        (_npy(np.zeros(4, "f4")), 422, "[4]"),
        (_npy(np.zeros((0, 4), "f4")), 422, "[0, 4]"),
        (_npy(np.zeros((4, 4), "c8")), 422, "complex64"),
        (_npy(np.zeros((4, 4), bool)), 422, "bool"),
        (_npy(np.zeros((40, 40), "u1")), 413, "1600 pixels"),
        (_npz(a=_IMAGE, b=_IMAGE), 422, "a, b"),
        (_npz(image=_IMAGE)[:-30], 400, "can't be read"),
        (_tiff(np.zeros((3, 12, 15), "u2")), 422, ""),
        (_tiff(_IMAGE)[:60], 400, "can't be read"),
        (_png(_IMAGE)[:60], 400, "can't be read"),
        (_png(np.zeros((4, 4, 3), "u1")), 422, "[4, 4, 3]"),
    ],
)
def test_what_is_not_one_frame_is_refused_with_its_reason(data: bytes, status: int, named: str) -> None:
    with pytest.raises(RequestRefused) as refusal:
        read_frame(data, 1000)

    assert refusal.value.status == status
    assert named in str(refusal.value)


@given(st.binary(max_size=200), st.sampled_from([b"", b"\x93NUMPY\x01\x00", b"PK\x03\x04", b"II*\0", b"\x89PNG\r\n\x1a\n"]))
def test_random_bytes_are_refused_and_never_crash(data: bytes, magic: bytes) -> None:
    with pytest.raises(RequestRefused):
        read_frame(magic + data, 1000)
