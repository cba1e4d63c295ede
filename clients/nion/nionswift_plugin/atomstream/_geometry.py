"""Where a scan lies, and where a pixel of it lies."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pair = tuple[float, float]


@dataclass(frozen=True)
class ScanGeometry:
    """Where the pixels of one frame lie. Of a sub-scan, this is its own place, not that of the scan around it.

    shape : (rows, columns)
    pixel_size_nm : (y, x)
    center_nm : (y, x) of the frame's centre, from where the undeflected beam is
    rotation_rad : how far the scan is turned: features appear turned counter-clockwise by it
    """

    shape: tuple[int, int]
    pixel_size_nm: Pair
    center_nm: Pair = (0.0, 0.0)
    rotation_rad: float = 0.0

    @property
    def fov_nm(self) -> Pair:
        """(height, width) in nm."""
        return self.shape[0] * self.pixel_size_nm[0], self.shape[1] * self.pixel_size_nm[1]

    def to_nm(self, yx_px: NDArray[Any]) -> NDArray[np.float64]:
        """Places in nm, shape (N, 2), of positions in pixels; (0, 0) is the centre of the first pixel.

        The convention is that of Nion's own simulator, measured: y_nm = cos(t) y + sin(t) x, x_nm = -sin(t) y + cos(t) x, t = rotation_rad.
        """
        from_centre = (np.asarray(yx_px, np.float64) - self._middle_px) * self.pixel_size_nm
        return np.asarray(from_centre @ self._turn.T + self.center_nm)

    def to_px(self, yx_nm: NDArray[Any]) -> NDArray[np.float64]:
        """Positions in pixels, shape (N, 2), of places in nm: the inverse of `to_nm`."""
        from_centre = (np.asarray(yx_nm, np.float64) - self.center_nm) @ self._turn
        return np.asarray(from_centre / self.pixel_size_nm + self._middle_px)

    def as_json(self) -> dict[str, Any]:
        """As it travels in a frame's `vendor` and comes back with its result."""
        return {
            "shape": list(self.shape),
            "pixel_size_nm": list(self.pixel_size_nm),
            "center_nm": list(self.center_nm),
            "rotation_rad": self.rotation_rad,
        }

    @classmethod
    def from_json(cls, described: Mapping[str, Any]) -> ScanGeometry:
        """What `as_json` gave; KeyError where it is something else."""
        shape, size, center = described["shape"], described["pixel_size_nm"], described["center_nm"]
        return cls((int(shape[0]), int(shape[1])), (float(size[0]), float(size[1])), (float(center[0]), float(center[1])), float(described["rotation_rad"]))

    @property
    def _middle_px(self) -> NDArray[np.float64]:
        return (np.array(self.shape, np.float64) - 1) / 2

    @property
    def _turn(self) -> NDArray[np.float64]:
        cos, sin = math.cos(self.rotation_rad), math.sin(self.rotation_rad)
        return np.array([[cos, sin], [-sin, cos]])


def turned(yx: Pair, angle_rad: float) -> Pair:
    """A vector (y, x) of a scan that is turned by an angle, in the unturned axes."""
    cos, sin = math.cos(angle_rad), math.sin(angle_rad)
    return cos * yx[0] + sin * yx[1], -sin * yx[0] + cos * yx[1]
