"""What a map says of each atom: sums over the pixels of its cell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..compiled import compiled
from ..each import Each
from ._cells import Cells
from ._parts import in_parts

_SHARE = 256
"""Atoms that one processor takes on at a time."""


@dataclass(frozen=True)
class Outlines:
    """What the mean map says of each atom; arrays have shape (atoms,) unless said otherwise.

    y, x : centroid of what is seen, weighted by the probability above threshold
    variance : second moment of the weights, along both axes together; NaN where the cell meets the frame's border
    cut : ndarray, bool, shape (4, atoms): whether there is weight in the frame's first row, last row, first column, last column
    area : pixels above threshold
    classes : the class with the most probability in those pixels
    """

    y: NDArray[np.float64]
    x: NDArray[np.float64]
    variance: NDArray[np.float64]
    cut: NDArray[np.bool_]
    area: NDArray[np.int64]
    classes: NDArray[np.int64]


def outlines_of(foreground: NDArray[np.float32], mean: NDArray[np.float32], cells: Cells, threshold: float, each: Each = map) -> Outlines:
    """The atoms in a mean map, shape (classes, rows, columns); foreground : shape (rows, columns), the sum of its classes."""
    n = len(cells.tops_y)
    y, x, variance = np.empty((3, n))
    cut = np.zeros((4, n), np.bool_)
    area, classes = np.empty((2, n), np.int64)
    pixels = (cells.tops_y, cells.tops_x, cells.left, cells.right)

    def outline(first: int, end: int) -> None:
        outline_cells(foreground, mean, np.float32(threshold), *pixels, first, end, y, x, variance, cut, area, classes)

    in_parts(outline, n, _SHARE, each)
    return Outlines(y, x, variance, cut, area, classes)


@compiled
def outline_cells(
    foreground: NDArray[np.float32],
    mean: NDArray[np.float32],
    threshold: np.float32,
    tops_y: NDArray[np.int64],
    tops_x: NDArray[np.int64],
    left: NDArray[np.int16],
    right: NDArray[np.int16],
    first: int,
    end: int,
    y: NDArray[np.float64],
    x: NDArray[np.float64],
    variance: NDArray[np.float64],
    cut: NDArray[np.bool_],
    area: NDArray[np.int64],
    classes: NDArray[np.int64],
) -> None:
    """The outlines of some of the atoms."""
    rows, columns = foreground.shape
    span = left.shape[1] // 2
    of_class = np.empty(mean.shape[0])
    for k in range(first, end):
        weight = weight_y = weight_x = square = np.float64(0)
        pixels = 0
        of_class[:] = 0.0
        for row in range(left.shape[1]):
            if left[k, row] > right[k, row]:
                continue
            dy, v = row - span, tops_y[k] + row - span
            begin, stop = tops_x[k] + left[k, row], tops_x[k] + right[k, row] + 1
            values = foreground[v, begin:stop]
            in_row, moment, second = np.float32(0), np.float32(0), np.float32(0)
            for u in range(len(values)):
                excess = values[u] - threshold
                if excess > 0:
                    along = np.float32(left[k, row] + u)
                    in_row += excess
                    moment += along * excess
                    second += along * along * excess
                    pixels += 1
            if in_row > 0:
                weight += in_row
                weight_y += dy * in_row
                weight_x += moment
                square += second + dy**2 * in_row
                cut[0, k] |= v == 0
                cut[1, k] |= v == rows - 1
                cut[2, k] |= begin == 0 and values[0] > threshold
                cut[3, k] |= stop == columns and values[-1] > threshold
                if len(of_class) > 1:
                    for u in range(len(values)):
                        if values[u] > threshold:
                            for c in range(len(of_class)):
                                of_class[c] += mean[c, v, begin + u]
        y[k], x[k] = tops_y[k] + weight_y / weight, tops_x[k] + weight_x / weight
        whole = span < tops_y[k] < rows - 1 - span and span < tops_x[k] < columns - 1 - span
        # Of an atom of one pixel it is 0, and rounding may put it below.
        variance[k] = max(square / weight - (weight_y**2 + weight_x**2) / weight**2, 0.0) if whole else np.nan
        area[k] = pixels
        classes[k] = np.argmax(of_class)
