"""What a frame itself tells of the instrument."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np
import scipy.fft
from numpy.typing import NDArray

from atomstream_models.normalize import SAMPLES

_SIDE_PX = 256
"""Of larger frames the middle is looked at, so that the time is bounded."""
_LEAST_SIDE_PX = 32
_MEAN_TO_STD = math.sqrt(math.pi / 2)
_CURVATURE = np.array([1, -2, 1], np.float32) / np.sqrt(np.float32(6))
"""Second difference along one axis; unit white noise comes out with standard deviation 1."""
_DIAGONAL = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32) / 6
"""Blind to anything that is locally a plane (Immerkær 1996, doi 10.1006/cviu.1996.0060)."""
_SLOW = 1 / 32
"""Share of the highest frequency below which the spectrum is background."""


@dataclass(frozen=True)
class FrameStatistics:
    """Five numbers of a frame that change with the instrument; all but `level` are free of the detector's gain.

    level : mean of the frame, in its own unit
    contrast : standard deviation over mean
    noise : standard deviation of the pixel noise over that of the frame, 0 to about 1
    lattice : height of the spectrum's highest peak over its median, as a decimal logarithm
    jitter : second differences down the rows over those along them, as a natural logarithm; lines that shift sideways raise it
    """

    level: float
    contrast: float
    noise: float
    lattice: float
    jitter: float


def frame_statistics(frame: NDArray[Any]) -> FrameStatistics:
    """The statistics of a frame (rows, columns) of finite pixels; zeros where it is constant or too small to tell."""
    # In units of the largest pixel nothing overflows, whatever the detector's unit is.
    unit = max(-float(frame.min()), float(frame.max()), float(np.finfo(np.float64).tiny)) if frame.size else 1.0
    thin = frame[:: _step(frame), :: _step(frame)].astype(np.float64) / unit
    level, std = float(thin.mean()), float(thin.std())
    middle = (_middle(frame).astype(np.float64) / unit).astype(np.float32)
    if std <= 0 or min(middle.shape) < _LEAST_SIDE_PX:
        return FrameStatistics(level * unit, 0.0, 0.0, 0.0, 0.0)
    down, along = (_spread(cv2.filter2D(middle, -1, kernel)) for kernel in (_CURVATURE[:, None], _CURVATURE[None, :]))
    return FrameStatistics(
        level=level * unit,
        contrast=std / max(abs(level), 1e-6 * std),
        noise=_spread(cv2.filter2D(middle, -1, _DIAGONAL)) / std,
        lattice=_peak(middle),
        jitter=float(np.log(max(down, 1e-6 * std) / max(along, 1e-6 * std))),
    )


def _step(frame: NDArray[Any]) -> int:
    return max(1, math.isqrt(frame.size // SAMPLES))


def _middle(frame: NDArray[Any]) -> NDArray[Any]:
    (top, left) = (max(0, (size - _SIDE_PX) // 2) for size in frame.shape)
    return frame[top : top + _SIDE_PX, left : left + _SIDE_PX]


def _spread(differences: NDArray[Any]) -> float:
    """Standard deviation from the mean size of some differences around zero; their median would come in steps where few electrons are counted."""
    return _MEAN_TO_STD * float(np.mean(np.abs(differences), dtype=np.float64))


@cache
def _window(rows: int, columns: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """What a frame is multiplied with before its spectrum is taken, and where that is background."""
    slow = (np.abs(np.fft.fftfreq(rows))[:, None] < _SLOW) & (np.fft.rfftfreq(columns)[None, :] < _SLOW)
    return np.outer(np.hanning(rows), np.hanning(columns)).astype(np.float32), slow


def _peak(frame: NDArray[np.float32]) -> float:
    window, slow = _window(frame.shape[0], frame.shape[1])
    spectrum = scipy.fft.rfft2((frame - frame.mean()) * window)
    power = spectrum.real**2 + spectrum.imag**2
    power[slow] = 0
    return float(np.log10(power.max() / max(float(np.median(power)), 1e-30) + 1e-12))
