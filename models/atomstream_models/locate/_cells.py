"""The pixels around each atom, and sums over them, without a loop over atoms."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

_REACH = 1.5
"""How far an atom's cell reaches from its top, in atom radii."""


@dataclass(frozen=True)
class Cells:
    """Each pixel near an atom's top, given to the nearest top; pixels of one atom stand together.

    pixels : flat indices
    y, x : their rows and columns
    near : whether a pixel lies within one atom radius of the top
    starts : where each atom's pixels begin
    """

    pixels: NDArray[np.int64]
    y: NDArray[np.float32]
    x: NDArray[np.float32]
    near: NDArray[np.bool_]
    starts: NDArray[np.int64]

    def sums(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Sum of per-pixel values (..., pixels) over each atom, shape (..., atoms)."""
        total: NDArray[np.float32] = np.add.reduceat(values, self.starts, axis=-1)
        return total

    def maxima(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Largest per-pixel value (..., pixels) of each atom, shape (..., atoms)."""
        largest: NDArray[np.float32] = np.maximum.reduceat(values, self.starts, axis=-1)
        return largest

    def centroids(self, weights: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Weighted centroids (y, x), each (..., atoms), and the weight of each atom; NaN where there is no weight.

        Positions are taken from the atom's first pixel before summing, so that float32 keeps its digits.
        """
        count = np.diff(self.starts, append=len(self.pixels))
        y0, x0 = self.y[self.starts], self.x[self.starts]
        weight = self.sums(weights)
        with np.errstate(invalid="ignore", divide="ignore"):
            y = y0 + self.sums(weights * (self.y - np.repeat(y0, count))) / weight
            x = x0 + self.sums(weights * (self.x - np.repeat(x0, count))) / weight
        return y, x, weight


def cells_around(peaks: NDArray[np.int64], radius_px: float, shape: tuple[int, int]) -> Cells:
    """The cells of tops given as flat indices (at least one), in the order of `peaks`."""
    apart = np.ones(shape, np.uint8)
    apart.reshape(-1)[peaks] = 0
    distance, label = cv2.distanceTransformWithLabels(apart, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    rank = np.zeros(label.max() + 1, np.int32)
    rank[label.reshape(-1)[peaks]] = np.arange(len(peaks))
    pixels = np.flatnonzero(distance <= _REACH * radius_px)
    owner = rank[label.reshape(-1)[pixels]]
    if len(peaks) < 1 << 16:
        order = np.argsort(owner.astype(np.uint16), kind="stable")
    else:
        order = np.argsort(owner, kind="stable")
    pixels, owner = pixels[order], owner[order]
    starts = np.searchsorted(owner, np.arange(len(peaks), dtype=np.int32))
    rows = pixels // shape[1]
    return Cells(
        pixels,
        rows.astype(np.float32),
        (pixels - rows * shape[1]).astype(np.float32),
        distance.reshape(-1)[pixels] <= radius_px,
        starts,
    )
