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
    near : whether a pixel lies within one atom radius of the top
    starts : where each atom's pixels begin
    tops_y, tops_x : row and column of each atom's top
    dy, dx : rows and columns from its top to each pixel; small numbers, so that float32 keeps its digits in sums
    """

    pixels: NDArray[np.int64]
    near: NDArray[np.bool_]
    starts: NDArray[np.int64]
    tops_y: NDArray[np.float32]
    tops_x: NDArray[np.float32]
    dy: NDArray[np.float32]
    dx: NDArray[np.float32]

    def take(self, one: NDArray[np.float32]) -> NDArray[np.float32]:
        """The values of a map (rows, columns) at the cells' pixels."""
        values: NDArray[np.float32] = np.take(one.reshape(-1), self.pixels)
        return values

    def sums(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Sum of per-pixel values over each atom, shape (atoms,)."""
        total: NDArray[np.float32] = np.add.reduceat(values, self.starts)
        return total

    def maxima(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Largest per-pixel value of each atom, shape (atoms,)."""
        largest: NDArray[np.float32] = np.maximum.reduceat(values, self.starts)
        return largest

    def centroids(self, weights: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Weighted centroids y, x, shape (atoms,) each; NaN where there is no weight."""
        weight = self.sums(weights)
        with np.errstate(invalid="ignore", divide="ignore"):
            y = self.tops_y + self.sums(weights * self.dy) / weight
            x = self.tops_x + self.sums(weights * self.dx) / weight
        return y, x


def cells_around(peaks: NDArray[np.int64], radius_px: float, shape: tuple[int, int]) -> Cells:
    """The cells of tops given as flat indices (at least one), in the order of `peaks`."""
    apart = np.ones(shape, np.uint8)
    apart.reshape(-1)[peaks] = 0
    distance, label = cv2.distanceTransformWithLabels(apart, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    distance, label = distance.reshape(-1), label.reshape(-1)
    rank = np.zeros(len(peaks) + 1, np.uint16 if len(peaks) < 1 << 16 else np.int32)
    rank[label[peaks]] = np.arange(len(peaks))
    pixels = np.flatnonzero(distance <= _REACH * radius_px)
    owner = rank[np.take(label, pixels)]
    order = np.argsort(owner, kind="stable")
    pixels = pixels[order]
    starts = np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=len(peaks)))[:-1]])
    count = np.diff(starts, append=len(pixels))
    rows, tops = pixels // shape[1], peaks // shape[1]
    columns, tops_x = pixels - rows * shape[1], peaks - tops * shape[1]
    return Cells(
        pixels,
        np.take(distance, pixels) <= radius_px,
        starts,
        tops.astype(np.float32),
        tops_x.astype(np.float32),
        (rows - np.repeat(tops, count)).astype(np.float32),
        (columns - np.repeat(tops_x, count)).astype(np.float32),
    )
