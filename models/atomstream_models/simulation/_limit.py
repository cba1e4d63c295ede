"""How precisely an atom can be located at all: the Cramér-Rao bound."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ._imaging import Imaging, Noise
from ._microscope import MicroscopeFrame, labelled
from ._specimen import Specimen

_REACH = 4.0
"""Half the side of the patch that is looked at, in standard deviations of the probe; what lies outside tells nothing about the atom."""


def cramer_rao_px(specimen: Specimen, imaging: Imaging, noise: Noise, atoms: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
    """Smallest standard deviation, sqrt(var_y + var_x) in pixels, of any unbiased estimate of each atom's position, shape (M,).

    Model: the pixels of a patch around the atom are independent, their mean the sum of Gaussians of known width on a
    constant background, their variance mean / counts_per_host + readout ** 2. Unknown are the position and the intensity of
    the atom and of all its neighbours, the background, and where scan lines jitter the shift of each line, of which only the
    standard deviation is known. The bound is the inverse of the Fisher information matrix (Bettens et al., Ultramicroscopy 77
    (1999) 37, doi 10.1016/S0304-3991(99)00006-6; Van Aert et al., J. Struct. Biol. 138 (2002) 21, doi 10.1016/S1047-8477(02)00016-3);
    the shifts' known spread enters as prior information (Van Trees 1968). A slowly varying background counts with its mean level.

    Knowledge that the atoms lie on a lattice is not used, so an estimator that has learned it may do better, and so may
    a biased one, most of all at low dose, where this bound diverges.

    atoms : ndarray, shape (M,), indices into the specimen's atoms; None means all
    """
    chosen = np.arange(len(specimen.kind)) if atoms is None else np.asarray(atoms, np.int64)
    places = specimen.positions_nm / imaging.pixel_nm
    sigma = np.array(imaging.probe_nm) / imaging.pixel_nm
    if not len(chosen):
        return np.empty(0)
    tree = cKDTree(places / sigma)
    near = tree.query_ball_point(places[chosen] / sigma, 1.5 * np.sqrt(2) * _REACH)
    return np.array([_bound_px(places, specimen.brightness, int(k), np.array(around), sigma, imaging, noise) for k, around in zip(chosen, near, strict=True)])


def localisation_limit_px(frame: MicroscopeFrame, most: int = 200) -> float:
    """Smallest root mean square distance in pixels with which the labelled atoms of a frame can be located without bias.

    most : atoms that are looked at, evenly spread over the list; NaN if there is none
    """
    wanted = np.flatnonzero(labelled(frame))
    if not len(wanted):
        return float("nan")
    wanted = wanted[np.unique(np.linspace(0, len(wanted) - 1, most).round().astype(np.int64))]
    bounds = cramer_rao_px(frame.exposure.specimen, frame.exposure.imaging, frame.exposure.noise, wanted)
    return float(np.sqrt(np.mean(bounds**2)))


def _bound_px(
    places: NDArray[np.float64],
    brightness: NDArray[np.float64],
    target: int,
    around: NDArray[np.int64],
    sigma: NDArray[np.float64],
    imaging: Imaging,
    noise: Noise,
) -> float:
    low = np.maximum(np.floor(places[target] - _REACH * sigma), 0).astype(np.int64)
    high = np.minimum(np.ceil(places[target] + _REACH * sigma) + 1, imaging.shape).astype(np.int64)
    if (high <= low).any():
        return float("inf")
    around = np.concatenate([[target], around[around != target]])
    y, x = np.arange(low[0], high[0]), np.arange(low[1], high[1])
    off_y, off_x = y[:, None] - places[around, 0], x[:, None] - places[around, 1]
    spots = np.exp(-0.5 * (off_y[:, None] / sigma[0]) ** 2 - 0.5 * (off_x[None] / sigma[1]) ** 2)
    by_y = spots * brightness[around] * off_y[:, None] / sigma[0] ** 2
    by_x = spots * brightness[around] * off_x[None] / sigma[1] ** 2
    mean = np.maximum(spots @ brightness[around] + imaging.background + imaging.background_swing, 1e-6)
    slopes = [by_y, by_x, spots, np.ones((len(y), len(x), 1))]
    # What the patch hardly sees of far neighbours would make the matrix singular: they are known to a hundred pixels and a hundred host peaks.
    known = [np.full(3 * len(around) + 1, 1e-4)]
    if imaging.line_jitter_px:
        slopes.append(np.eye(len(y))[:, None, :] * by_x.sum(axis=2)[:, :, None])
        known.append(np.full(len(y), imaging.line_jitter_px**-2.0))
    slope = np.concatenate(slopes, axis=2).reshape(len(y) * len(x), -1)
    variance = mean / noise.counts_per_host + noise.readout**2
    information = slope.T @ (slope / variance.reshape(-1, 1)) + np.diag(np.concatenate(known))
    wanted = np.zeros((len(information), 2))
    wanted[0, 0] = wanted[len(around), 1] = 1
    covariance = np.linalg.solve(information, wanted)
    return float(np.sqrt(covariance[0, 0] + covariance[len(around), 1]))
