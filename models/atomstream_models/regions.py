"""Rectangles of a frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .errors import InputError

Region = tuple[int, int, int, int]
"""First row, one past the last, first column, one past the last, in pixels."""


def parse_region(text: str) -> Region:
    """The region in `Y0:Y1,X0:X1`.

    Raises
    ------
    InputError
        for another text.
    """
    try:
        (y0, y1), (x0, x1) = (map(int, part.split(":")) for part in text.split(","))
    except ValueError as error:
        raise InputError(f"{text!r} is not a region such as 0:256,100:356 (rows, columns)") from error
    return y0, y1, x0, x1


def check_region(region: Region, shape: tuple[int, ...], frame: int) -> None:
    """See that a region lies inside a frame of `shape` (rows, columns).

    Raises
    ------
    InputError
        where it does not, naming the frame's number.
    """
    y0, y1, x0, x1 = region
    if not (0 <= y0 < y1 <= shape[0] and 0 <= x0 < x1 <= shape[1]):
        raise InputError(f"region rows {y0}:{y1}, columns {x0}:{x1} is not inside frame {frame} of {shape[0]}x{shape[1]} pixels")


def in_regions(places_yx: NDArray[np.floating], regions: Sequence[Region]) -> NDArray[np.bool_]:
    """Which positions (N, 2+; y, x first, in pixels) lie on a pixel of any of the regions; a pixel reaches half a pixel to each side of its centre."""
    y, x = places_yx[:, 0], places_yx[:, 1]
    found = np.zeros(len(places_yx), bool)
    for y0, y1, x0, x1 in regions:
        found |= (y >= y0 - 0.5) & (y < y1 - 0.5) & (x >= x0 - 0.5) & (x < x1 - 0.5)
    return found


def region_mask(shape: tuple[int, ...], regions: Sequence[Region]) -> NDArray[np.bool_]:
    """The pixels of a frame of `shape` (rows, columns) that lie in any of the regions."""
    mask = np.zeros(shape, bool)
    for y0, y1, x0, x1 in regions:
        mask[y0:y1, x0:x1] = True
    return mask
