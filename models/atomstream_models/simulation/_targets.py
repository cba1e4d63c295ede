"""What a network should answer: soft discs at the atoms."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def soft_disks(positions_px: NDArray[np.float64], radius_px: float, shape: tuple[int, int], softness: float = 0.25) -> NDArray[np.float32]:
    """Discs with a logistic edge, centred sub-pixel, shape `shape`, values 0 to 1; where they overlap the larger value holds.

    The value falls from the centre on, so each atom is a strict local maximum and its weighted centroid is
    its position. Atoms may lie outside the frame; only their part inside is drawn.

    positions_px : ndarray, shape (N, 2), (y, x)
    radius_px : where the value is one half
    softness : width of the edge relative to the radius
    """
    target = np.zeros(shape, np.float32)
    reach = int(np.ceil(radius_px * (1 + 5 * softness)))
    offset = np.arange(-reach, reach + 1)
    nearest = np.rint(positions_px).astype(np.int64)
    rows = nearest[:, 0, None, None] + offset[None, :, None]
    columns = nearest[:, 1, None, None] + offset[None, None, :]
    distance = np.hypot(rows - positions_px[:, 0, None, None], columns - positions_px[:, 1, None, None])
    value = 1 / (1 + np.exp((distance - radius_px) / (softness * radius_px)))
    rows, columns = np.broadcast_arrays(rows, columns)
    inside = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
    np.maximum.at(target, (rows[inside], columns[inside]), value[inside].astype(np.float32))
    return target
