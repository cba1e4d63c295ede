"""The image around each atom, as a local descriptor."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

_STEP_PX = 3.0
_MOST_SAMPLES = 32
_BACKGROUND = 0.5
"""Structure broader than this share of the window is background."""
_BRIGHTEST = 3.0


class FramePatches:
    """A frame from which patches around points can be cut.

    Patches are sampled every 3 pixels or so after smoothing, so that a window of 48 has 16 by 16 samples. Slow background
    is taken off, the frame's own robust spread is the unit, and what exceeds three of them is cut, so that a
    bright impurity says no more than that something bright is there. Beyond the frame's edge its mirror image
    goes on, so atoms at the edge have patches as well.

    frame : ndarray, shape (rows, columns), finite
    window_px : side of a patch in pixels
    level : True keeps slow background and brightness as they are, for telling atoms by how bright they are
    """

    def __init__(self, frame: NDArray[Any], window_px: int, *, level: bool = False) -> None:
        if frame.ndim != 2:
            raise InputError(f"a frame has rows and columns; this array has shape {list(frame.shape)}")
        if window_px < 4:
            raise InputError(f"window_px = {window_px} is too small for a patch: 4 is the least")
        self.samples = int(min(_MOST_SAMPLES, max(4, round(window_px / _STEP_PX))))
        step = window_px / self.samples
        values = frame.astype(np.float64) - float(np.median(frame))
        smooth = cv2.GaussianBlur(values.astype(np.float32), (0, 0), max(0.5, 0.5 * step), borderType=cv2.BORDER_REFLECT_101)
        if not level:
            smooth = cv2.subtract(smooth, cv2.GaussianBlur(smooth, (0, 0), _BACKGROUND * window_px, borderType=cv2.BORDER_REFLECT_101))
        spread = 1.4826 * float(np.median(np.abs(smooth))) or float(smooth.std()) or 1.0
        self._image = smooth / np.float32(spread) if level else np.clip(smooth / np.float32(spread), -_BRIGHTEST, _BRIGHTEST)
        self._offsets = (np.arange(self.samples) - (self.samples - 1) / 2) * step

    def at(self, yx: NDArray[np.floating]) -> NDArray[np.float32]:
        """Patches centred sub-pixel on points (N, 2), shape (N, samples, samples)."""
        shape = (len(yx), self.samples, self.samples)
        if not len(yx):
            return np.empty(shape, np.float32)
        y = np.broadcast_to(yx[:, 0, None, None] + self._offsets[None, :, None], shape)
        x = np.broadcast_to(yx[:, 1, None, None] + self._offsets[None, None, :], shape)
        y, x = (_mirrored(part, size).astype(np.float32).reshape(len(yx), -1) for part, size in zip((y, x), self._image.shape, strict=True))
        # OpenCV's maps may have at most 32767 rows.
        parts = [slice(start, start + (1 << 14)) for start in range(0, len(yx), 1 << 14)]
        cut = [cv2.remap(self._image, x[part], y[part], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for part in parts]
        return np.concatenate(cut).reshape(shape).astype(np.float32, copy=False)


def spectra(patches: NDArray[np.float32]) -> NDArray[np.float32]:
    """Power spectra of patches as shares of each one's whole, zero frequency in the middle row and first column; shape (N, samples, samples // 2 + 1).

    A patch's spectrum does not care on which site of a lattice the patch is centred.
    """
    side = patches.shape[1]
    window = np.hanning(side + 2)[1:-1].astype(np.float32)
    waves = (patches - patches.mean(axis=(1, 2), keepdims=True)) * (window[:, None] * window[None, :])
    power = np.abs(np.fft.fftshift(np.fft.rfft2(waves), axes=1)).astype(np.float32) ** 2
    total = power.sum(axis=(1, 2), keepdims=True)
    shares: NDArray[np.float32] = np.divide(power, total, out=np.zeros_like(power), where=total > 0)
    return shares


def _mirrored(at: NDArray[np.floating], size: int) -> NDArray[np.floating]:
    """Coordinates folded back into 0 to size - 1, at whatever distance."""
    period = 2 * max(size - 1, 1)
    folded = np.mod(at, period)
    return np.asarray(np.minimum(folded, period - folded))
