"""The pixels around each atom."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..compiled import compiled
from ..each import Each
from ._parts import in_parts

_REACH = 1.3
"""How far an atom's cell reaches from its top, in atom radii ..."""
_MARGIN_PX = 1.2
"""... and how much further in pixels, because a small atom's top may be found a pixel off its middle."""
_SHARE = 4096
"""Atoms whose cells one processor draws at a time."""


@dataclass(frozen=True)
class Cells:
    """A disc of pixels around each atom's top, less those that lie nearer to another top.

    A disc is convex, and so is what is nearer to one top than to others: a cell has one run of pixels in each row.

    tops_y, tops_x : row and column of each atom's top
    left, right : ndarray, int16, shape (atoms, rows of a disc): first and last column of the run, counted from the top; none where left > right
    near : for each row of a disc, how far it reaches to either side within one atom radius; -1 where it does not
    """

    tops_y: NDArray[np.int64]
    tops_x: NDArray[np.int64]
    left: NDArray[np.int16]
    right: NDArray[np.int16]
    near: NDArray[np.int16]


def cells_around(peaks: NDArray[np.int64], radius_px: float, shape: tuple[int, int], each: Each = map) -> Cells:
    """The cells of tops given as flat indices, in the order of `peaks`; a pixel as near to two tops is the earlier one's."""
    widths = _half_widths(_REACH * radius_px + _MARGIN_PX)
    span = len(widths) // 2
    near = np.full(len(widths), -1, np.int16)
    inner = _half_widths(radius_px)
    near[span - len(inner) // 2 : span + len(inner) // 2 + 1] = inner
    tops_y, tops_x = np.divmod(peaks, shape[1])
    left, right = (np.empty((len(peaks), len(widths)), np.int16) for _ in range(2))
    starts, members = in_tiles(tops_y, tops_x, 2 * span + 1, *shape)

    def draw(first: int, end: int) -> None:
        draw_cells(tops_y, tops_x, widths, *shape, starts, members, first, end, left, right)

    in_parts(draw, len(peaks), _SHARE, each)
    return Cells(tops_y, tops_x, left, right, near)


def _half_widths(radius_px: float) -> NDArray[np.int16]:
    """For each row of a disc about a pixel, how far it reaches to either side."""
    rows = np.arange(-int(radius_px), int(radius_px) + 1)
    widths: NDArray[np.int16] = np.sqrt(radius_px**2 - rows**2).astype(np.int16)
    return widths


@compiled
def in_tiles(tops_y: NDArray[np.int64], tops_x: NDArray[np.int64], side: int, rows: int, columns: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The frame cut into square tiles, row by row: where each one's tops begin (and the last one's end), and the tops' numbers."""
    across = (columns - 1) // side + 1
    starts = np.zeros(((rows - 1) // side + 1) * across + 1, np.int64)
    for k in range(len(tops_y)):
        starts[tops_y[k] // side * across + tops_x[k] // side] += 1
    starts = np.cumsum(starts)
    members = np.empty(len(tops_y), np.int64)
    for k in range(len(tops_y) - 1, -1, -1):
        tile = tops_y[k] // side * across + tops_x[k] // side
        starts[tile] -= 1
        members[starts[tile]] = k
    return starts, members


@compiled
def draw_cells(
    tops_y: NDArray[np.int64],
    tops_x: NDArray[np.int64],
    widths: NDArray[np.int16],
    rows: int,
    columns: int,
    starts: NDArray[np.int64],
    members: NDArray[np.int64],
    first: int,
    end: int,
    left: NDArray[np.int16],
    right: NDArray[np.int16],
) -> None:
    """The runs of some of the cells."""
    span = len(widths) // 2
    side = 2 * span + 1
    down, across = (rows - 1) // side + 1, (columns - 1) // side + 1
    for k in range(first, end):
        y, x = tops_y[k], tops_x[k]
        for row in range(side):
            if 0 <= y + row - span < rows:
                left[k, row], right[k, row] = max(-widths[row], -x), min(widths[row], columns - 1 - x)
            else:
                left[k, row], right[k, row] = 0, -1
        # Discs that overlap have tops at most a tile apart.
        for v in range(max(y // side - 1, 0), min(y // side + 2, down)):
            for u in range(max(x // side - 1, 0), min(x // side + 2, across)):
                for place in range(starts[v * across + u], starts[v * across + u + 1]):
                    other = members[place]
                    dy, dx = tops_y[other] - y, tops_x[other] - x
                    if other != k and abs(dy) < side and abs(dx) < side:
                        _keep_nearer(dy, dx, other > k, left[k], right[k])


@compiled
def _keep_nearer(dy: int, dx: int, or_equal: bool, left: NDArray[np.int16], right: NDArray[np.int16]) -> None:
    """Cut from a cell what is nearer to a top at (dy, dx) than to its own: the pixels p with 2 p (dy, dx) > dy² + dx²."""
    span = len(left) // 2
    for row in range(len(left)):
        room = dy**2 + dx**2 - 2 * (row - span) * dy - (0 if or_equal else 1)
        if dx > 0:
            right[row] = min(right[row], room // (2 * dx))
        elif dx < 0:
            left[row] = max(left[row], -(room // (-2 * dx)))
        elif room < 0:
            right[row] = left[row] - 1
