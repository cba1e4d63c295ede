"""The input tensor as frames."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._refusal import RequestRefused
from ._messages import InputTensor

INPUT = "frame"
DATATYPES = {"UINT8": "|u1", "UINT16": "<u2", "UINT32": "<u4", "INT16": "<i2", "INT32": "<i4", "FP32": "<f4", "FP64": "<f8"}
"""What a frame's counts may be; the same types as on the stream."""
MOST_FRAMES = 64
"""Frames in one request: a program that sends more has the stream wait too long for its turns."""


def frames_of(tensor: InputTensor, binary: memoryview | None, max_pixels: int) -> NDArray[Any]:
    """The frames in a request, shape (N, rows, columns), in the type that they were sent in.

    max_pixels : in all frames together

    Raises
    ------
    RequestRefused
        400 for what is not frames, 413 for too many of them.
    """
    if tensor.name != INPUT:
        raise RequestRefused(400, "unknown_input", f"there is no input {tensor.name!r}; the only one is {INPUT!r}")
    unknown = [name for name in tensor.parameters if name != "binary_data_size"]
    if unknown:
        raise RequestRefused(400, "unknown_parameter", f"the input's parameters {', '.join(unknown)} are not known here; shared memory is not offered")
    if tensor.datatype not in DATATYPES:
        raise RequestRefused(400, "bad_datatype", f"{INPUT} is {tensor.datatype!r}, it must be one of {', '.join(DATATYPES)}")
    count, rows, columns = _batch(tensor.shape)
    if count > MOST_FRAMES:
        raise RequestRefused(413, "too_many_frames", f"{count} frames are more than the {MOST_FRAMES} allowed in one request")
    if count * rows * columns > max_pixels:
        raise RequestRefused(413, "too_large", f"{count * rows * columns} pixels are more than the {max_pixels} allowed")
    dtype = np.dtype(DATATYPES[tensor.datatype])
    flat = _from_json(tensor, dtype) if binary is None else _from_binary(tensor, dtype, binary)
    return flat.reshape(count, rows, columns)


def _batch(shape: list[int]) -> tuple[int, int, int]:
    if len(shape) == 4 and shape[1] != 1:
        raise RequestRefused(400, "bad_shape", f"{INPUT} has shape {shape}; of frames with {shape[1]} channels send the one that shall be analysed")
    count = shape[0] if len(shape) > 2 else 1
    return count, shape[-2], shape[-1]


def _from_binary(tensor: InputTensor, dtype: np.dtype[Any], binary: memoryview) -> NDArray[Any]:
    if tensor.data is not None:
        raise RequestRefused(400, "bad_request", f"{INPUT} has both data and binary_data_size; send one of them")
    needed = math.prod(tensor.shape) * dtype.itemsize
    if needed != len(binary):
        raise RequestRefused(400, "bad_size", f"{INPUT} of shape {tensor.shape} and {tensor.datatype} has {needed} bytes, binary_data_size is {len(binary)}")
    return np.frombuffer(binary, dtype)


def _from_json(tensor: InputTensor, dtype: np.dtype[Any]) -> NDArray[Any]:
    if tensor.data is None:
        raise RequestRefused(400, "bad_request", f"{INPUT} has no data")
    try:
        numbers = np.asarray(tensor.data)
    except ValueError as error:
        raise RequestRefused(400, "bad_data", f"{INPUT}'s data are not a regular array: {error}") from error
    if numbers.size != math.prod(tensor.shape):
        raise RequestRefused(400, "bad_size", f"{INPUT} of shape {tensor.shape} has {math.prod(tensor.shape)} numbers, data has {numbers.size}")
    whole = dtype.kind in "iu"
    if numbers.dtype.kind not in ("iu" if whole else "iuf"):
        raise RequestRefused(400, "bad_data", f"{INPUT} is {tensor.datatype}, but its data are not all {'whole ' if whole else ''}numbers that fit")
    if whole and not (np.iinfo(dtype).min <= numbers.min() and numbers.max() <= np.iinfo(dtype).max):
        raise RequestRefused(400, "bad_data", f"{INPUT} is {tensor.datatype}, but its data reach from {numbers.min()} to {numbers.max()}")
    with np.errstate(over="ignore"):  # what does not fit becomes infinite, which no frame may hold
        return numbers.astype(dtype).ravel()
