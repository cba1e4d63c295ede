"""From atoms to an image: Gaussian spots, background, scan distortion, dose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from ._specimen import Specimen


@dataclass(frozen=True)
class Imaging:
    """How the probe sees a specimen, without noise.

    pixel_nm : pixel size in nm
    shape : frame shape (rows, columns)
    probe_nm : standard deviation (y, x) of an atom's spot in nm
    line_jitter_px : standard deviation of each scan line's sideways shift, in pixels
    background : mean background relative to the peak of a host atom
    background_swing : amplitude of its slow variation, relative to the peak of a host atom
    """

    pixel_nm: float
    shape: tuple[int, int]
    probe_nm: tuple[float, float]
    line_jitter_px: float = 0.0
    background: float = 0.5
    background_swing: float = 0.0


@dataclass(frozen=True)
class Noise:
    """What the detector adds.

    counts_per_host : electrons at the peak of a host atom in one pixel (Poisson)
    readout : Gaussian noise relative to the peak of a host atom
    """

    counts_per_host: float
    readout: float = 0.0


class ImageFormation(Protocol):
    """Makes noiseless images: `expose` sums Gaussians, `Multislice` scatters waves."""

    def __call__(self, specimen: Specimen, imaging: Imaging, *, rng: np.random.Generator) -> NDArray[np.float64]:
        """The noiseless image, shape `imaging.shape`; 1 is the peak of a lone host atom or column above the background."""


def render_atoms(
    positions_px: NDArray[np.float64], brightness: NDArray[np.float64], sigma_px: tuple[float, float], shape: tuple[int, int]
) -> NDArray[np.float64]:
    """Sum of two-dimensional Gaussians, shape `shape`, peak = brightness.

    A Gaussian is separable, so the whole sum is one matrix product.
    """
    rows = np.exp(-0.5 * ((np.arange(shape[0])[:, None] - positions_px[:, 0]) / sigma_px[0]) ** 2)
    columns = np.exp(-0.5 * ((np.arange(shape[1])[:, None] - positions_px[:, 1]) / sigma_px[1]) ** 2)
    image: NDArray[np.float64] = (rows * brightness) @ columns.T
    return image


def smooth_field(shape: tuple[int, int], nodes: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """A smooth random surface, roughly between -1 and 1, with `nodes` by `nodes` degrees of freedom."""
    grid = rng.uniform(-1, 1, (nodes, nodes))
    return np.asarray(cv2.resize(grid, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC), np.float64)


def jitter_lines(image: NDArray[np.float64], shifts_px: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each row shifted sideways by its own amount in pixels (scan-line jitter)."""
    rows, columns = image.shape
    x = (np.arange(columns)[None] + shifts_px[:, None]).astype(np.float32)
    y = np.repeat(np.arange(rows, dtype=np.float32)[:, None], columns, axis=1)
    return np.asarray(cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101), np.float64)


def expose(specimen: Specimen, imaging: Imaging, *, rng: np.random.Generator) -> NDArray[np.float64]:
    """The noiseless image, shape `imaging.shape`; 1 is the peak of a lone host atom above the background."""
    sigma = (imaging.probe_nm[0] / imaging.pixel_nm, imaging.probe_nm[1] / imaging.pixel_nm)
    return disturb(render_atoms(specimen.positions_nm / imaging.pixel_nm, specimen.brightness, sigma, imaging.shape), imaging, rng=rng)


def disturb(image: NDArray[np.float64], imaging: Imaging, *, rng: np.random.Generator) -> NDArray[np.float64]:
    """An image of the atoms alone with the background and the scan-line jitter of these conditions, in units of a host's peak."""
    image = image + imaging.background
    if imaging.background_swing:
        image += imaging.background_swing * (1 + smooth_field(imaging.shape, int(rng.integers(2, 6)), rng))
    if imaging.line_jitter_px:
        image = jitter_lines(image, rng.normal(0.0, imaging.line_jitter_px, imaging.shape[0]))
    return image


def add_noise(image: NDArray[np.float64], noise: Noise, *, rng: np.random.Generator) -> NDArray[np.float64]:
    """The image as detected: Poisson counts, scaled back to host peaks, plus readout noise."""
    counts = rng.poisson(np.clip(image, 0, None) * noise.counts_per_host) / noise.counts_per_host
    detected: NDArray[np.float64] = counts + rng.normal(0.0, noise.readout, image.shape) if noise.readout else counts
    return detected
