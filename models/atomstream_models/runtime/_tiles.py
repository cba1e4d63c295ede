"""A frame in parts that overlap, so that large ones fit into memory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Tile:
    """A part of a frame.

    look : rows and columns that the members see
    keep : those of them whose answers are kept, within `look`
    place : where these lie in the frame
    """

    look: tuple[slice, slice]
    keep: tuple[slice, slice]
    place: tuple[slice, slice]

    @property
    def looks_at(self) -> tuple[int, int]:
        """Rows and columns that the members run on."""
        rows, columns = self.look
        return rows.stop - rows.start, columns.stop - columns.start


def tiles(shape: tuple[int, int], halo_px: int, step: int, most_pixels: int) -> list[Tile]:
    """Parts whose kept answers make up the frame, as equal as can be.

    halo_px : pixels around what is kept that the members see, too, where the frame has them; rounded up to `step`
    step : sides that the members take are multiples of this; so are the frame's
    most_pixels : what the members see at once, at most; a part keeps at least `step` pixels a side, whatever it sees
    """
    halo = -(-halo_px // step) * step
    counts = [1, 1]
    while math.prod(min(side, _core(side, count, step) + 2 * halo) for side, count in zip(shape, counts, strict=True)) > most_pixels:
        cores = [_core(side, count, step) for side, count in zip(shape, counts, strict=True)]
        longer = 0 if cores[0] >= cores[1] else 1
        if cores[longer] <= step:
            break
        counts[longer] += 1
    return [
        Tile((rows[0], columns[0]), (rows[1], columns[1]), (rows[2], columns[2]))
        for rows in _cuts(shape[0], counts[0], step, halo)
        for columns in _cuts(shape[1], counts[1], step, halo)
    ]


def _core(side: int, count: int, step: int) -> int:
    return -(-side // (count * step)) * step


def _cuts(side: int, count: int, step: int, halo: int) -> Iterator[tuple[slice, slice, slice]]:
    """All look at as much, so that nothing is made ready for many sizes."""
    core = _core(side, count, step)
    look = min(side, core + 2 * halo)
    for begin in range(0, side, core):
        end = min(side, begin + core)
        first = min(max(0, begin - halo), side - look)
        yield slice(first, first + look), slice(begin - first, end - first), slice(begin, end)
