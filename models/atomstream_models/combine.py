"""Mean and standard deviation over the members of an ensemble."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_BLOCK = 1 << 15
"""Pixels handled at a time, so that the temporaries stay in the processor's cache."""


def mean_std(maps: Sequence[NDArray[np.float32]]) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Per-pixel mean and population standard deviation (ddof 0) over equally shaped member maps.

    The mean is taken off before squaring, so that nothing cancels. With one member the standard deviation is
    unknown: None, never zeros.

    maps : one ndarray a member, all of one shape, float32

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
    deviation = np.empty(_BLOCK, np.float32)
    share = np.float32(1 / len(flat))
    for start in range(0, mean.size, _BLOCK):
        part = slice(start, min(start + _BLOCK, mean.size))
        centre, spread = mean[part], std[part]
        np.add(flat[0][part], flat[1][part], out=centre)
        for one in flat[2:]:
            centre += one[part]
        centre *= share
        rest = deviation[: centre.size]
        spread[:] = 0
        for one in flat:
            np.subtract(one[part], centre, out=rest)
            rest *= rest
            spread += rest
        spread *= share
        np.sqrt(spread, out=spread)
    return mean.reshape(maps[0].shape), std.reshape(maps[0].shape)
