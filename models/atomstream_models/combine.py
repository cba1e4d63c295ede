"""Mean and standard deviation over the members of an ensemble."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .each import Each

_BLOCK = 1 << 15
"""Pixels handled at a time, so that the temporaries stay in the processor's cache."""
_SHARE = 1 << 17
"""Pixels that one processor takes on at a time."""


def mean_std(maps: Sequence[NDArray[np.float32]], each: Each = map) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Per-pixel mean and population standard deviation (ddof 0) over equally shaped member maps.

    The mean is taken off before squaring, so that nothing cancels. With one member the standard deviation is
    unknown: None, never zeros.

    maps : one ndarray a member, all of one shape, float32
    each : how to go through shares of the work

    Raises
    ------
    ValueError
        when there is no map.
    """
    if not maps:
        raise ValueError("no member map to combine")
    if len(maps) == 1:
        return np.ascontiguousarray(maps[0]), None
    flat = [np.ascontiguousarray(one).reshape(-1) for one in maps]
    mean, std = np.empty_like(flat[0]), np.empty_like(flat[0])

    def combine(start: int) -> None:
        for at in range(start, min(start + _SHARE, mean.size), _BLOCK):
            part = slice(at, min(at + _BLOCK, start + _SHARE))
            _combine([one[part] for one in flat], mean[part], std[part])

    for _ in each(combine, range(0, mean.size, _SHARE)):
        pass  # results are written in place; going through them waits for the last and raises what went wrong
    return mean.reshape(maps[0].shape), std.reshape(maps[0].shape)


def _combine(parts: Sequence[NDArray[np.float32]], mean: NDArray[np.float32], std: NDArray[np.float32]) -> None:
    share = np.float32(1 / len(parts))
    np.add(parts[0], parts[1], out=mean)
    for one in parts[2:]:
        mean += one
    mean *= share
    deviation = np.empty_like(mean)
    std[:] = 0
    for one in parts:
        np.subtract(one, mean, out=deviation)
        deviation *= deviation
        std += deviation
    std *= share
    np.sqrt(std, out=std)
