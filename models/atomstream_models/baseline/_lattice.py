"""Whether a frame shows a lattice, and how fine it is."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

_LARGEST_PX = 1024
"""Of larger frames the middle is looked at: a lattice is the same everywhere, and the time is bounded."""
_FEWEST_PERIODS = 4
_FINEST_PX = 4.0
_CLIP = 2.5
"""Brightness beyond this many standard deviations, robustly measured, is cut: a bright patch would drown the lattice."""
_SIGNIFICANT = 30.0
"""Height of the highest peak above the median of its ring; noise alone stays below 12, amorphous carbon below 27."""
_SECOND = 20.0
_FIRST_ORDER = 0.62
"""Peaks of at least this share of the longest period are first order: in hexagonal lattices the second follows at 0.577."""
_SAME_ORDER_POWER = 0.03
_CROSSED = 0.35
"""Sine of the smallest angle between two lattice directions."""


def lattice_period_px(frame: NDArray[Any]) -> float | None:
    """Period of a frame's lattice planes in pixels (the mean of the first-order ones), None where no lattice shows.

    A lattice is at least two crossing sets of planes that stand out of the frame's power spectrum, each frequency
    measured against the others of its ring, so that neither slow background nor scan noise counts.
    Square lattices have their spacing as period; graphene has 1.5 bond lengths.

    frame : ndarray, shape (rows, columns), finite
    """
    middle = _middle(frame).astype(np.float32)
    n = max(middle.shape)
    if n < _FEWEST_PERIODS * _FINEST_PX or not np.ptp(middle):
        return None
    peaks, heights = _peaks(_ring_normalised(_power(middle, n)))
    if not len(peaks) or heights[0] < _SIGNIFICANT:
        return None
    strong = (heights >= _SECOND) & (heights >= _SAME_ORDER_POWER * heights[0])
    peaks, periods = peaks[strong], n / np.linalg.norm(peaks[strong], axis=1)
    first = periods >= _FIRST_ORDER * periods.max()
    return float(np.mean(periods[first])) if _cross(peaks) else None


def _middle(frame: NDArray[Any]) -> NDArray[Any]:
    (top, rows), (left, columns) = ((max(0, (size - _LARGEST_PX) // 2), min(size, _LARGEST_PX)) for size in frame.shape)
    return frame[top : top + rows, left : left + columns]


def _power(frame: NDArray[np.float32], n: int) -> NDArray[np.float32]:
    """Power spectrum, zero frequency in the middle of an n by n array, without slow background and hot spots."""
    flat = frame - cv2.GaussianBlur(frame, (0, 0), n / 16)
    reach = _CLIP * 1.4826 * float(np.median(np.abs(flat))) or _CLIP * float(flat.std())
    flat = np.clip(flat, -reach, reach) * np.outer(np.hanning(frame.shape[0]), np.hanning(frame.shape[1]))
    power = np.abs(np.fft.fftshift(np.fft.fft2(flat, (n, n)))) ** 2
    return np.asarray(cv2.GaussianBlur(power.astype(np.float32), (0, 0), 0.7), np.float32)


def _ring_normalised(power: NDArray[np.float32]) -> NDArray[np.float32]:
    """Power over the median of all frequencies equally far from zero; 0 outside the band in which a lattice could lie."""
    n = len(power)
    at = np.arange(n) - n // 2
    radius = np.hypot(at[:, None], at[None, :])
    ring = np.rint(radius).astype(np.int64).ravel()
    order = np.argsort(ring, kind="stable")
    counts = np.bincount(ring)
    parts = np.split(power.ravel()[order], np.cumsum(counts)[:-1])
    median = np.array([np.median(part) for part in parts])
    band = (radius >= _FEWEST_PERIODS) & (radius <= n / _FINEST_PX)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = power / median[ring].reshape(power.shape)
    return np.where(band & np.isfinite(relative), relative, 0).astype(np.float32)


def _peaks(relative: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Frequencies of the highest peaks of one half plane, shape (peaks, 2), counted from zero, and their heights, highest first."""
    top = (relative >= cv2.dilate(relative, np.ones((7, 7), np.uint8))) & (relative > 0)
    top[: len(relative) // 2] = False
    at = np.argwhere(top)
    heights = relative[top]
    order = np.argsort(-heights, kind="stable")[:12]
    return at[order] - len(relative) // 2, heights[order]


def _cross(peaks: NDArray[np.int64]) -> bool:
    unit = peaks / np.linalg.norm(peaks, axis=1, keepdims=True)
    return bool(np.any(np.abs(unit[:, None, 0] * unit[None, :, 1] - unit[:, None, 1] * unit[None, :, 0]) > _CROSSED))
