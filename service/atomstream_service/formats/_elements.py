"""Types and shapes as other makers write them, to types that a frame may have."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atomstream_wire import WireError

_NAMES = {
    **{f"{sign}int{8 * size}": f"{kind}{size}" for sign, kind in (("u", "u"), ("", "i")) for size in (1, 2, 4, 8)},
    **{f"float{8 * size}": f"f{size}" for size in (2, 4, 8)},
}


def dtype_named(name: Any, order: str) -> np.dtype[Any]:
    """The type that a name such as `uint16` stands for; order : `<` or `>`."""
    if not isinstance(name, str) or name not in _NAMES:
        raise WireError("bad_dtype", f"type {name!r} is not one of {', '.join(_NAMES)}")
    return np.dtype(order + _NAMES[name])


def dtype_written(text: Any) -> np.dtype[Any]:
    """The type as numpy writes it: `uint16`, which leaves the byte order to be little-endian, or `>u2`."""
    if isinstance(text, str) and text[:1] in ("<", ">") and text[1:] in _NAMES.values():
        return np.dtype(text)
    return dtype_named(text, "<")


def is_wide(dtype: np.dtype[Any]) -> bool:
    """Whether it depends on the values if a frame can hold them."""
    return dtype.kind in "ui" and dtype.itemsize == 8


def pixels_of(shape: Sequence[Any], max_pixels: int) -> int:
    """How many pixels an image of this shape has, to be called before anything is allocated for it."""
    if len(shape) != 2 or not all(type(side) is int and side > 0 for side in shape):
        raise WireError("bad_shape", f"shape {str(list(shape))[:100]} is not two whole numbers above 0")
    pixels: int = math.prod(shape)
    if pixels > max_pixels:
        raise WireError("too_large", f"shape {list(shape)} has {pixels} pixels, more than the {max_pixels} allowed")
    return pixels


def image_of(data: Any, dtype: np.dtype[Any], shape: Sequence[int], max_pixels: int) -> NDArray[Any]:
    """The image in these bytes, in a type that a frame may have and with the very same values."""
    expected = pixels_of(shape, max_pixels) * dtype.itemsize
    view = memoryview(data)
    if view.nbytes != expected:
        raise WireError("byte_count", f"{view.nbytes} bytes came, shape {list(shape)} of {dtype.str} needs {expected}")
    return _held_by_a_frame(np.frombuffer(view, dtype).reshape(shape))


def _held_by_a_frame(image: NDArray[Any]) -> NDArray[Any]:
    match image.dtype.kind, image.dtype.itemsize:
        case "i", 1:
            return image.astype(np.int16)
        case "f", 2:
            return image.astype(np.float32)
        case ("u" | "i") as kind, 8:
            narrow = np.dtype(f"{kind}4")
            limits, low, high = np.iinfo(narrow), image.min(), image.max()
            if low < limits.min or high > limits.max:
                raise WireError("bad_dtype", f"{image.dtype.str} values from {low} to {high} do not fit into {narrow.str}")
            return image.astype(narrow)
        case _:
            return image
