"""How noisy each pixel of a frame is."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_DIFFERENCE = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32) / 6
"""Blind to anything that is locally a plane; unit white noise comes out with standard deviation 1 (Immerkær 1996, doi 10.1006/cviu.1996.0060)."""
_MEDIAN_TO_STD = 1 / 0.6745
_SMOOTHING_PX = 3.0
_BINS = 20
_QUIETEST = 0.5
"""No pixel is held to be quieter than this share of the quietest tenth of the brightnesses."""


def noise_level(frame: NDArray[np.float32]) -> NDArray[np.float32]:
    """Standard deviation of the white noise at each pixel, shape and unit of `frame`; zeros where a frame has no noise at all.

    The variance is taken to be linear in the local brightness, as shot noise plus readout noise is, and fitted to
    the frame itself.
    """
    difference = np.abs(cv2.filter2D(frame, -1, _DIFFERENCE, borderType=cv2.BORDER_REFLECT_101))
    brightness = cv2.GaussianBlur(frame, (0, 0), _SMOOTHING_PX, borderType=cv2.BORDER_REFLECT_101)
    edges = np.unique(np.quantile(brightness, np.linspace(0, 1, _BINS + 1)))
    share = np.clip(np.searchsorted(edges, brightness, side="right") - 1, 0, max(len(edges) - 2, 0))
    found = [(brightness[share == k], difference[share == k]) for k in range(max(len(edges) - 1, 1))]
    level = np.array([float(np.mean(one)) for one, _ in found])
    variance = np.array([(float(np.median(other)) * _MEDIAN_TO_STD) ** 2 for _, other in found])
    slope, offset = _line(level, variance)
    least = _QUIETEST * float(np.quantile(variance, 0.1))
    fitted: NDArray[np.float32] = np.sqrt(np.maximum(slope * brightness + offset, least)).astype(np.float32)
    return fitted


def _line(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    """Slope (never below 0) and offset of the straight line through some points."""
    spread = x - x.mean()
    weight = float(np.sum(spread**2))
    slope = max(0.0, float(np.sum(spread * (y - y.mean()))) / weight) if weight > 0 else 0.0
    return slope, float(y.mean() - slope * x.mean())
