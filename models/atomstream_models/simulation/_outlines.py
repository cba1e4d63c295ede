"""Smooth random curves that divide a specimen: closed outlines and wavy lines."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Outline:
    """A closed curve around a centre, its radius a smooth function of the direction.

    centre_nm : (y, x)
    radius_nm : mean radius
    waves : ndarray, shape (M, 2), relative amplitude and phase of the harmonics 2, 3, ... around the curve
    """

    centre_nm: tuple[float, float]
    radius_nm: float
    waves: NDArray[np.float64]

    def contains(self, points_nm: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which points (N, 2) lie inside."""
        arm = points_nm - np.array(self.centre_nm)
        angle = np.arctan2(arm[:, 0], arm[:, 1])
        order = 2 + np.arange(len(self.waves))
        wave = np.cos(angle[:, None] * order + self.waves[:, 1]) @ self.waves[:, 0]
        inside: NDArray[np.bool_] = np.hypot(arm[:, 0], arm[:, 1]) < self.radius_nm * (1 + wave)
        return inside

    def grown(self, radius_nm: float) -> Outline:
        """The same shape at another mean radius."""
        return replace(self, radius_nm=radius_nm)


def outline(centre_nm: tuple[float, float], radius_nm: float, roughness: float = 0.15, *, rng: np.random.Generator) -> Outline:
    """A random smooth outline; `roughness` is the relative standard deviation of its radius, 0 gives a circle."""
    amplitude = rng.normal(0.0, 1.0, 4) / np.arange(1, 5)
    scale = roughness * np.sqrt(2) / np.linalg.norm(amplitude)
    return Outline(centre_nm, radius_nm, np.stack([scale * amplitude, rng.uniform(0, 2 * np.pi, 4)], 1))


@dataclass(frozen=True)
class WavyLine:
    """A line across the plane that swings about a straight one.

    point_nm : a point (y, x) of the straight line
    angle_rad : its direction, from the x axis towards y
    waves : ndarray, shape (M, 3), amplitude in nm, wavelength in nm and phase of each swing
    """

    point_nm: tuple[float, float]
    angle_rad: float
    waves: NDArray[np.float64]

    def left_of(self, points_nm: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which points (N, 2) lie on the one side."""
        along = np.array([np.sin(self.angle_rad), np.cos(self.angle_rad)])
        across = np.array([along[1], -along[0]])
        arm = points_nm - np.array(self.point_nm)
        swing = np.cos(2 * np.pi * (arm @ along)[:, None] / self.waves[:, 1] + self.waves[:, 2]) @ self.waves[:, 0]
        left: NDArray[np.bool_] = arm @ across < swing
        return left


def wavy_line(field_nm: tuple[float, float], waviness_nm: float = 0.15, *, rng: np.random.Generator) -> WavyLine:
    """A random wavy line through the middle of a field of view; `waviness_nm` is the standard deviation of its swing."""
    point = rng.uniform(0.3, 0.7, 2) * field_nm
    amplitude = waviness_nm * np.sqrt(2 / 3) * np.ones(3)
    wavelength = np.hypot(*field_nm) * np.array([1.0, 0.5, 0.25]) * rng.uniform(0.8, 1.2, 3)
    waves = np.stack([amplitude, wavelength, rng.uniform(0, 2 * np.pi, 3)], 1)
    return WavyLine((float(point[0]), float(point[1])), float(rng.uniform(0, np.pi)), waves)
