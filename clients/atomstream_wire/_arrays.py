"""Arrays to bytes and back without a copy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Tuple

import numpy as np

from ._errors import WireError

if TYPE_CHECKING:  # NumPy before 1.21 has no NDArray, and old instruments come with such a NumPy
    from numpy.typing import NDArray

DTYPES = ("u1", "u2", "u4", "i2", "i4", "f4", "f8")
"""Element types a frame may have, each in both byte orders."""

_SPELLINGS = frozenset([order + kind for order in "<>" for kind in DTYPES] + ["|u1", "u1"])


def dtype_of(text: Any, where: str) -> "np.dtype[Any]":
    """The dtype that an explicit string such as `<u2` names."""
    if isinstance(text, str) and text in _SPELLINGS:
        return np.dtype(text)
    raise WireError("bad_dtype", f"{where}: dtype {text!r} is not one of {', '.join(DTYPES)} with an explicit byte order < or >")


def shape_of(value: Any, where: str, ndim: Tuple[int, ...], max_elements: int) -> Tuple[int, ...]:
    """A shape from a header, checked."""
    whole = isinstance(value, list) and all(type(n) is int and n >= 0 for n in value)
    if not whole or len(value) not in ndim:
        raise WireError("bad_shape", f"{where}: shape {value!r} is not a list of {' or '.join(map(str, ndim))} whole numbers")
    elements = 1
    for n in value:
        elements *= n
    if elements > max_elements:
        raise WireError("too_large", f"{where}: shape {value!r} has {elements} elements, more than the {max_elements} allowed")
    return tuple(value)


def to_bytes(array: NDArray[Any]) -> memoryview:
    """The array's own memory; an array that is not C-contiguous is copied once."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def from_bytes(data: Any, dtype: "np.dtype[Any]", shape: Tuple[int, ...], where: str) -> NDArray[Any]:
    """A read-only array on the message's own memory."""
    view = memoryview(data)
    expected = dtype.itemsize
    for n in shape:
        expected *= n
    if view.nbytes != expected:
        raise WireError("byte_count", f"{where}: {view.nbytes} bytes came, shape {list(shape)} of {dtype.str} needs {expected}")
    array = np.frombuffer(view, dtype).reshape(shape) if expected else np.empty(shape, dtype)
    array.flags.writeable = False
    return array
