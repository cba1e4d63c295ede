"""The pixels around each atom, and sums over them, without a loop over atoms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_REACH = 1.3
"""How far an atom's cell reaches from its top, in atom radii ..."""
_MARGIN_PX = 1.2
"""... and how much further in pixels, because a small atom's top may be found a pixel off its middle."""


@dataclass(frozen=True)
class Cells:
    """A disc of pixels around each atom's top, less those that lie nearer to another top.

    Arrays are (offsets, atoms): one row for each pixel of the disc, the outermost first.

    tops_y, tops_x : row and column of each atom's top
    moments : ndarray, shape (3, offsets): ones, rows and columns of the disc's pixels counted from the top
    pixels : ndarray, flat indices into a map
    mine : ndarray, float32, 1 where a pixel belongs to the atom, else 0
    first_near : the first row of the disc that lies within one atom radius
    """

    tops_y: NDArray[np.int64]
    tops_x: NDArray[np.int64]
    moments: NDArray[np.float32]
    pixels: NDArray[np.int64]
    mine: NDArray[np.float32]
    first_near: int

    def total(self, maps: NDArray[np.float32]) -> NDArray[np.float32]:
        """The sum of some maps (maps, rows, columns) at the cells' pixels; 0 where a pixel is another atom's."""
        # Adding whole maps reads memory in order; picking pixels does not, so it is done once.
        plane = maps[0] if len(maps) == 1 else np.add.reduce(maps, axis=0)
        values: NDArray[np.float32] = np.take(plane.reshape(-1), self.pixels)
        values *= self.mine
        return values

    def sums(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Sum over each atom's pixels, shape (atoms,)."""
        total: NDArray[np.float32] = self.moments[0] @ values
        return total

    def maxima(self, values: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Largest value within one atom radius of each top, and beyond it, shape (atoms,) each."""
        return values[self.first_near :].max(axis=0), values[: self.first_near].max(axis=0, initial=0)

    def centroids(self, weights: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Weighted centroids y, x, shape (atoms,) each; NaN where there is no weight."""
        weight, dy, dx = self.moments @ weights
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.tops_y + dy / weight, self.tops_x + dx / weight


def cells_around(peaks: NDArray[np.int64], radius_px: float, shape: tuple[int, int]) -> Cells:
    """The cells of tops given as flat indices (at least one), in the order of `peaks`."""
    reach = _REACH * radius_px + _MARGIN_PX
    span = np.arange(-int(reach), int(reach) + 1)
    distance = np.hypot(span[:, None], span[None, :]).reshape(-1)
    outermost_first = np.argsort(-distance, kind="stable")[np.count_nonzero(distance > reach) :]
    dy, dx = (part.reshape(-1)[outermost_first] for part in np.meshgrid(span, span, indexing="ij"))
    tops_y, tops_x = np.divmod(peaks, shape[1])
    y, x = tops_y + dy[:, None], tops_x + dx[:, None]
    outside = (y < 0) | (y >= shape[0]) | (x < 0) | (x >= shape[1])
    pixels = y * shape[1] + x
    pixels[outside] = 0
    atoms = np.arange(len(peaks), dtype=np.int32)
    owner = np.empty(shape[0] * shape[1], np.int32)
    # Row by row towards the tops: where cells overlap, the nearer top writes last.
    for row, out in zip(pixels, outside, strict=True):
        owner[row[~out]] = atoms[~out]
    mine = (np.take(owner, pixels) == atoms) & ~outside
    moments = np.stack([np.ones_like(dy), dy, dx]).astype(np.float32)
    first_near = int(np.count_nonzero(distance[outermost_first] > radius_px))
    return Cells(tops_y, tops_x, moments, pixels, mine.astype(np.float32), first_near)
