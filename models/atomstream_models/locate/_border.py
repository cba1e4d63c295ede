"""Where an atom lies that the frame's border cuts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..compiled import compiled
from ._outlines import Outlines

_TRUE = np.linspace(0, 1, 65)
"""Distance of a disc's middle from the border, in its radii ..."""
_SEEN = _TRUE + (2 / 3) * (1 - _TRUE**2) ** 1.5 / (np.pi - np.arccos(_TRUE) + _TRUE * np.sqrt(1 - _TRUE**2))
"""... and that of the centroid of what is left of it: a disc less a circular segment."""
_INSIDE_PX = 0.01
"""How far inside the frame positions stay, so that rounding them names one of its pixels."""


@dataclass(frozen=True)
class Border:
    """The atoms that the border cuts.

    shape : of the frame
    radius_px : of a whole atom; None where no atom of the frame is whole, so that nothing is known of their size
    cut : ndarray, bool, shape (4, atoms), as in `Outlines`
    """

    shape: tuple[int, int]
    radius_px: float | None
    cut: NDArray[np.bool_]

    def uncut(self, y: NDArray[np.float64], x: NDArray[np.float64]) -> None:
        """Turn centroids of what is seen of the atoms, shape (looks, atoms) each, into the atoms' positions; NaN stays NaN.

        What the border leaves of an atom has its centroid further inside than the atom is. The atom lies where a whole disc would have
        this centroid after the same cut, and never outside the frame.
        """
        if self.radius_px is not None:
            move_out(y, x, self.cut, *self.shape, self.radius_px, _SEEN, _TRUE, _INSIDE_PX)


def border_of(outlines: Outlines, shape: tuple[int, int]) -> Border:
    """The border of a map of `shape`.

    The radius of a whole atom is that of an even disc with the second moment of the weights, the median over the atoms whose cells are whole.
    """
    whole = outlines.variance[~np.isnan(outlines.variance)]
    return Border(shape, max(float(np.sqrt(2 * np.median(whole))), 0.5) if len(whole) else None, outlines.cut)


@compiled
def move_out(
    y: NDArray[np.float64],
    x: NDArray[np.float64],
    cut: NDArray[np.bool_],
    rows: int,
    columns: int,
    radius_px: float,
    seen: NDArray[np.float64],
    true: NDArray[np.float64],
    inside_px: float,
) -> None:
    """Move the atoms that are cut out towards the border."""
    for k in range(y.shape[1]):
        if cut[0, k] or cut[1, k] or cut[2, k] or cut[3, k]:
            for look in range(y.shape[0]):
                if cut[0, k]:
                    y[look, k] = -0.5 + _distance(y[look, k] + 0.5, radius_px, seen, true, inside_px)
                if cut[1, k]:
                    y[look, k] = rows - 0.5 - _distance(rows - 0.5 - y[look, k], radius_px, seen, true, inside_px)
                if cut[2, k]:
                    x[look, k] = -0.5 + _distance(x[look, k] + 0.5, radius_px, seen, true, inside_px)
                if cut[3, k]:
                    x[look, k] = columns - 0.5 - _distance(columns - 0.5 - x[look, k], radius_px, seen, true, inside_px)


@compiled
def _distance(seen_px: float, radius_px: float, seen: NDArray[np.float64], true: NDArray[np.float64], inside_px: float) -> float:
    """An atom's distance from the border, from that of the centroid of what is seen of it."""
    share = seen_px / radius_px
    if not share < 1.0:
        return seen_px
    if share <= seen[0]:
        return inside_px
    k = 1
    while seen[k] < share:
        k += 1
    inner = (share - seen[k - 1]) / (seen[k] - seen[k - 1])
    return float(max(radius_px * (true[k - 1] + inner * (true[k] - true[k - 1])), inside_px))
