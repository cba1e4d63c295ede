"""Frames and maps as bytes for the eye."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .normalize import SAMPLES

_DARKEST, _BRIGHTEST = 0.5, 99.8
"""Percentiles of a frame that become black and white."""
_SHORT = 2
"""Bytes of a number that single precision holds exactly."""


def levels(frame: NDArray[Any]) -> tuple[float, float]:
    """The values that are to be black and white: the 0.5 and 99.8 percentiles of a regular sample; 0 and 0 where nothing is finite.

    frame : ndarray, shape (rows, columns)
    """
    step = max(1, math.isqrt(frame.size // SAMPLES))
    sample = frame[::step, ::step]
    if frame.dtype.kind == "f":
        sample = sample[np.isfinite(sample)]
    if not sample.size:
        return 0.0, 0.0
    low, high = np.percentile(sample, (_DARKEST, _BRIGHTEST))
    return float(low), float(high)


def shaded(image: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """An image from black (0) at `low` to white (255) at `high`; what is no number is black."""
    if image.dtype.kind == "f":
        image = np.nan_to_num(image, nan=-np.inf)
    # In double precision only where the sums would otherwise lose what is to be seen.
    out: NDArray[np.floating[Any]] = image.astype(np.float32 if image.dtype.itemsize <= _SHORT or image.dtype == np.float32 else np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        out -= low
        out *= 255 / max(high - low, 1e-12)
    return np.clip(out, 0, 255, out=out).astype(np.uint8)


def fitted(image: NDArray[np.uint8], longest_px: int) -> NDArray[np.uint8]:
    """An image whose longer side has at most so many pixels, each the mean of those it stands for."""
    rows, columns = image.shape[:2]
    scale = longest_px / max(rows, columns)
    if scale >= 1:
        return image
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
