"""Where an atom lies that the frame's border cuts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ._cells import Cells

_TRUE = np.linspace(0, 1, 65)
"""Distance of a disc's middle from the border, in its radii ..."""
_SEEN = _TRUE + (2 / 3) * (1 - _TRUE**2) ** 1.5 / (np.pi - np.arccos(_TRUE) + _TRUE * np.sqrt(1 - _TRUE**2))
"""... and that of the centroid of what is left of it: a disc less a circular segment."""
_INSIDE_PX = 0.01
"""How far inside the frame positions stay, so that rounding them names one of its pixels."""


@dataclass(frozen=True)
class _Side:
    """One side of the frame.

    axis : along which it is met, 0 for rows, 1 for columns
    at_px : where the outermost pixels end
    inwards : 1 or -1, the direction into the frame
    cut : ndarray, indices of the atoms that reach into the outermost pixels
    """

    axis: int
    at_px: float
    inwards: int
    cut: NDArray[np.int64]


@dataclass(frozen=True)
class Border:
    """The atoms that the border cuts.

    radius_px : of a whole atom
    sides : the frame's four sides; none where no atom of the frame is whole, so that nothing is known of their size
    """

    radius_px: float
    sides: tuple[_Side, ...]

    def uncut(self, y: NDArray[np.float64], x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Positions of atoms from the centroids of what is seen of them, shape (atoms,) each; NaN stays NaN.

        What the border leaves of an atom has its centroid further inside than the atom is. The atom lies where a whole disc would have
        this centroid after the same cut, and never outside the frame.
        """
        position = (y.copy(), x.copy())
        for side in self.sides:
            seen = (position[side.axis][side.cut] - side.at_px) * side.inwards
            distance = np.maximum(self.radius_px * np.interp(seen / self.radius_px, _SEEN, _TRUE), _INSIDE_PX)
            position[side.axis][side.cut] = side.at_px + side.inwards * np.where(seen < self.radius_px, distance, seen)
        return position


def border_of(cells: Cells, weights: NDArray[np.float32], shape: tuple[int, int]) -> Border:
    """The border of a map of `shape`, with the atoms that have weight in its outermost pixels.

    Their radius is that of an even disc with the second moment of the weights, the median over the atoms whose cells are whole.
    """
    tops, offsets = (cells.tops_y, cells.tops_x), cells.moments[1:]
    reach = offsets.max()
    near = [(axis, edge, np.abs(tops[axis] - edge) <= reach) for axis in (0, 1) for edge in (0, shape[axis] - 1)]
    radius_px = _radius_px(cells, weights, ~np.logical_or.reduce([one for _, _, one in near]))
    if radius_px is None:
        return Border(1.0, ())
    sides = []
    for axis, edge, one in near:
        atoms = np.flatnonzero(one)
        outermost = tops[axis][atoms] + offsets[axis][:, None] == edge
        cut = atoms[((weights[:, atoms] > 0) & outermost).any(axis=0)]
        inwards = 1 if edge == 0 else -1
        sides.append(_Side(axis, edge - 0.5 * inwards, inwards, cut))
    return Border(radius_px, tuple(sides))


def _radius_px(cells: Cells, weights: NDArray[np.float32], whole: NDArray[np.bool_]) -> float | None:
    weight, dy, dx = (cells.moments @ weights)[:, whole]
    square = ((cells.moments[1:] ** 2).sum(axis=0) @ weights)[whole]
    lit = weight > 0
    if not lit.any():
        return None
    # Of an atom of one pixel it is 0, and rounding may put it below.
    variance = np.maximum(square[lit] / weight[lit] - (dy[lit] ** 2 + dx[lit] ** 2) / weight[lit] ** 2, 0)
    return max(float(np.sqrt(2 * np.median(variance))), 0.5)
