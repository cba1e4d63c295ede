"""What the members of an ensemble make of each atom."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..compiled import compiled, plain
from ..each import Each
from ._border import Border
from ._cells import Cells
from ._parts import shares

_SHARE = 4096
"""Atoms that one processor seeks in a member's map at a time."""


def votes_of(
    members: Sequence[NDArray[np.float32]], cells: Cells, threshold: float, border: Border, each: Each
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Columns votes, sigma_y, sigma_x, shape (atoms, 3); and who sees what, shape (members, atoms).

    A member sees an atom where its own map rises above threshold near the mean's maximum and not higher further out.
    """
    n = len(cells.tops_y)
    seen = np.empty((len(members), n), np.bool_)
    y, x = np.empty((2, len(members), n))
    parts = shares(n, _SHARE)
    # Of a member that is looked at as a whole, the sum is made by whoever looks: handing work out twice takes as long as much of the work.
    totals = None if len(parts) == 1 else list(each(_total, members))
    pixels = (cells.tops_y, cells.tops_x, cells.left, cells.right, cells.near)

    def one(share: tuple[int, int, int]) -> None:
        member, first, end = share
        total = _total(members[member]) if totals is None else totals[member]
        look(total, np.float32(threshold), *pixels, first, end, seen[member], y[member], x[member])

    for _ in each(one, [(member, *part) for member in range(len(members)) for part in parts]):
        pass  # results are written in place; going through them waits for the last and raises what went wrong
    border.uncut(y, x)
    out = np.empty((n, 3), np.float32)
    spread(seen, y, x, out)
    return out, seen


def _total(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """The sum of all classes, shape (rows, columns)."""
    return plain(maps[0] if len(maps) == 1 else maps.sum(axis=0))


@compiled
def look(
    total: NDArray[np.float32],
    threshold: np.float32,
    tops_y: NDArray[np.int64],
    tops_x: NDArray[np.int64],
    left: NDArray[np.int16],
    right: NDArray[np.int16],
    near: NDArray[np.int16],
    first: int,
    end: int,
    seen: NDArray[np.bool_],
    y: NDArray[np.float64],
    x: NDArray[np.float64],
) -> None:
    """Which of some atoms a member sees, and where: `seen` where its own map, shape (rows, columns), rises above threshold near the
    top and not higher further out; `y`, `x` : the weighted centroids, NaN where nothing is above threshold."""
    span = left.shape[1] // 2
    nothing = np.float32(0)
    for k in range(first, end):
        weight, weight_y, weight_x = nothing, nothing, nothing
        highest, its_row = threshold, 0
        for row in range(left.shape[1]):
            v = tops_y[k] + row - span
            in_row, moment, highest_in_row = nothing, nothing, nothing
            for u in range(left[k, row], right[k, row] + 1):
                value = total[v, tops_x[k] + u]
                # Not max(): it minds NaN, which takes four times as long.
                excess = value - threshold if value > threshold else nothing
                in_row += excess
                moment += np.float32(u) * excess
                highest_in_row = value if value > highest_in_row else highest_in_row
            weight += in_row
            weight_y += np.float32(row - span) * in_row
            weight_x += moment
            if highest_in_row > highest:
                highest, its_row = highest_in_row, row
        y[k] = tops_y[k] + weight_y / weight if weight > 0 else np.nan
        x[k] = tops_x[k] + weight_x / weight if weight > 0 else np.nan
        seen[k] = False
        if weight > 0:
            # The highest pixel is mostly near the top; only where it is not, all other rows are asked for one that is as high.
            for row in range(its_row, left.shape[1]):
                for u in range(max(left[k, row], -near[row]), min(right[k, row], near[row]) + 1):
                    if total[tops_y[k] + row - span, tops_x[k] + u] >= highest:
                        seen[k] = True
                if seen[k]:
                    break


@compiled
def spread(seen: NDArray[np.bool_], y: NDArray[np.float64], x: NDArray[np.float64], out: NDArray[np.float32]) -> None:
    """Number of members that see each atom, and the standard deviation of their positions, NaN where they are fewer than two."""
    for k in range(seen.shape[1]):
        votes, middle_y, middle_x = 0, 0.0, 0.0
        for member in range(seen.shape[0]):
            if seen[member, k]:
                votes += 1
                middle_y += y[member, k]
                middle_x += x[member, k]
        out[k, 0], out[k, 1], out[k, 2] = votes, np.nan, np.nan
        if votes >= 2:
            square_y, square_x = 0.0, 0.0
            for member in range(seen.shape[0]):
                if seen[member, k]:
                    square_y += (y[member, k] - middle_y / votes) ** 2
                    square_x += (x[member, k] - middle_x / votes) ** 2
            out[k, 1], out[k, 2] = np.sqrt(square_y / votes), np.sqrt(square_x / votes)
