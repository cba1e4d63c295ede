"""The scale-normalised Laplacian of Gaussian, and its maxima."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_LAPLACE = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]], np.float32)


def blob_response(frame: NDArray[np.float32], scale_px: float) -> NDArray[np.float32]:
    """Minus the scale-normalised Laplacian of the smoothed frame: positive on bright blobs, greatest at their own scale.

    Lindeberg, Feature detection with automatic scale selection (1998), doi 10.1023/A:1008045108935.

    scale_px : standard deviation of the Gaussian in pixels
    """
    smooth = cv2.GaussianBlur(frame, (0, 0), scale_px, borderType=cv2.BORDER_REFLECT)
    return np.asarray(cv2.filter2D(smooth, -1, -(scale_px**2) * _LAPLACE, borderType=cv2.BORDER_REFLECT), np.float32)


def noise_gain(scale_px: float) -> float:
    """Standard deviation of the response to white noise of standard deviation 1."""
    size = 2 * int(np.ceil(6 * scale_px)) + 1
    spike = np.zeros((size, size), np.float32)
    spike[size // 2, size // 2] = 1
    return float(np.sqrt(np.sum(blob_response(spike, scale_px).astype(np.float64) ** 2)))


def maxima(response: NDArray[np.float32], reach_px: float) -> NDArray[np.int64]:
    """Positive local maxima (y, x), shape (N, 2), no two of them within `reach_px`; ties go to the first in reading order."""
    side = 2 * max(1, round(reach_px)) + 1
    window = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    at = np.argwhere((response >= cv2.dilate(response, window)) & (response > 0))
    if len(np.unique(response[at[:, 0], at[:, 1]])) == len(at):
        return at
    order = np.zeros(response.shape, np.float32)
    order[at[:, 0], at[:, 1]] = np.arange(len(at), 0, -1)
    return at[order[at[:, 0], at[:, 1]] >= cv2.dilate(order, window)[at[:, 0], at[:, 1]]]


def refine(response: NDArray[np.float32], at: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sub-pixel positions (N, 2) of maxima: the top of the paraboloid fitted to the 3 by 3 pixels around each, at most half a pixel away."""
    around = np.pad(response.astype(np.float64), 1, mode="symmetric")
    block = np.stack([around[at[:, 0] + dy, at[:, 1] + dx] for dy in range(3) for dx in range(3)]).reshape(3, 3, len(at))
    # Least squares over the nine pixels, in closed form.
    gy, gx = (block[2] - block[0]).sum(axis=0) / 6, (block[:, 2] - block[:, 0]).sum(axis=0) / 6
    yy = (block[0] - 2 * block[1] + block[2]).sum(axis=0) / 3
    xx = (block[:, 0] - 2 * block[:, 1] + block[:, 2]).sum(axis=0) / 3
    yx = (block[0, 0] + block[2, 2] - block[0, 2] - block[2, 0]) / 4
    determinant = yy * xx - yx**2
    with np.errstate(divide="ignore", invalid="ignore"):
        shift = np.stack([yx * gx - xx * gy, yx * gy - yy * gx], axis=1) / determinant[:, None]
    usable = (determinant > 0) & (yy < 0)
    top: NDArray[np.float64] = at + np.clip(np.where(usable[:, None], shift, 0.0), -0.5, 0.5)
    return top
