"""Functions compiled to machine code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

_F = TypeVar("_F", bound=Callable[..., Any])


def compiled(function: _F) -> _F:
    """The same function, compiled when it is first called with arguments of certain types; it runs without the interpreter's lock.

    The machine code is kept beside the source or in the user's cache folder. Numba takes it as out of date only when the function's own file
    has changed: so a compiled function calls none of another file, and numbers from elsewhere are arguments.
    """
    try:
        kept: _F = njit(nogil=True, cache=True)(function)
    except RuntimeError:  # no folder can be written to, and every process compiles for itself
        unkept: _F = njit(nogil=True)(function)
        return unkept
    return kept


def plain(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """The array, or a copy where its memory has gaps or can't be written to: that would be another type, and compiling takes seconds."""
    return np.require(array, np.float32, ["C", "A", "W"])
