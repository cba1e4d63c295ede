"""A sheet of atoms whose places are known, for Nion's simulated microscope (`nionswift-usim`), whose own specimens show no atoms.

It goes where usim takes any specimen: an object with `generate_scan_data(instrument, parameters)`. Needs numpy alone.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

BOND_NM = 0.142
"""Distance between neighbouring atoms."""

_REACH = 4.0
"""Standard deviations of the probe beyond which an atom is not drawn."""


class LatticeSpecimen:
    """Graphene with vacancies and heavy impurities, which may drift.

    extent_nm : side of the square sheet, around (0, 0)
    seed : of defects and noise
    vacancies, impurities : shares of the sites
    turned_rad : how the lattice lies
    probe_nm : standard deviation of the probe's image of an atom
    electrons_us : counts at a host atom's peak in a microsecond; an impurity is `contrast` times as bright
    readout : standard deviation of the detector's own noise, in the same counts; so pixels may be negative, as in Nion's own images
    drift_nm_s : velocity (y, x) of the sheet
    clock : seconds, for the drift

    atoms_nm : ndarray, shape (N, 2), places (y, x) at the beginning
    impurity : ndarray, shape (N,), which of them are impurities
    """

    stage_size_nm = 1000
    """usim asks its specimen for this."""

    def __init__(
        self,
        extent_nm: float = 20.0,
        seed: int = 0,
        *,
        vacancies: float = 0.01,
        impurities: float = 0.01,
        turned_rad: float = 0.2,
        probe_nm: float = 0.038,
        electrons_us: float = 60.0,
        contrast: float = 3.5,
        readout: float = 3.0,
        drift_nm_s: tuple[float, float] = (0.0, 0.0),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._random = np.random.default_rng(seed)
        self._lock = threading.Lock()
        sites = _graphene(extent_nm, turned_rad)
        drawn = self._random.random(len(sites))
        kept = drawn >= vacancies
        self.atoms_nm: NDArray[np.float64] = sites[kept]
        self.impurity: NDArray[np.bool_] = drawn[kept] > 1 - impurities
        self.probe_nm = probe_nm
        self._heights = electrons_us * np.where(self.impurity, contrast, 1.0)
        self._readout = readout
        self._drift_nm_s = np.array(drift_nm_s)
        self._clock = clock
        self._born = clock()

    def moved_nm(self) -> NDArray[np.float64]:
        """How far (y, x) the sheet has drifted by now."""
        return self._drift_nm_s * (self._clock() - self._born)

    def generate_scan_data(self, instrument: Any, parameters: Any) -> NDArray[np.float32]:
        """One channel of one scan, shape (rows, columns), as usim asks for it.

        instrument : usim's, whose stage and beam shift move the sheet, too; None = nothing does
        parameters : with size, fov_nm (of the longer side), center_nm, rotation_rad, pixel_time_us; sub-scans come as scans of their own
        """
        rows, columns = (int(side) for side in tuple(parameters.size))
        pixel_nm = parameters.fov_nm / max(rows, columns)
        atoms = self.atoms_nm + self.moved_nm() + _stage_nm(instrument) - np.array(tuple(parameters.center_nm))
        cos, sin = math.cos(parameters.rotation_rad), math.sin(parameters.rotation_rad)
        places = atoms @ np.array([[cos, sin], [-sin, cos]]) / pixel_nm + (np.array([rows, columns]) - 1) / 2
        signal = _blobs((rows, columns), places, self._heights * parameters.pixel_time_us, self.probe_nm / pixel_nm)
        with self._lock:
            counted = self._random.poisson(signal + 0.02 * parameters.pixel_time_us)
            return np.asarray(counted + self._random.normal(0, self._readout * math.sqrt(parameters.pixel_time_us), signal.shape), np.float32)


def _graphene(extent_nm: float, turned_rad: float) -> NDArray[np.float64]:
    """Sites (y, x) in nm of a square sheet."""
    count = math.ceil(extent_nm / BOND_NM)
    i, j = np.mgrid[-count : count + 1, -count : count + 1].reshape(2, -1)
    across = math.sqrt(3) * BOND_NM
    cells = np.stack([1.5 * BOND_NM * j, across * (i + 0.5 * j)], axis=1)
    sites = np.concatenate([cells, cells + np.array([BOND_NM, 0.0])])
    cos, sin = math.cos(turned_rad), math.sin(turned_rad)
    sites = sites @ np.array([[cos, -sin], [sin, cos]])
    return np.asarray(sites[(np.abs(sites) <= extent_nm / 2).all(axis=1)])


def _blobs(shape: tuple[int, int], places: NDArray[np.float64], heights: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """A Gaussian at each place (y, x) in pixels."""
    reach = math.ceil(_REACH * sigma)
    near = ((places > -reach) & (places < np.array(shape) + reach)).all(axis=1)
    image = np.zeros((shape[0] + 4 * reach + 1, shape[1] + 4 * reach + 1))
    around = np.arange(-reach, reach + 1)
    for (y, x), height in zip(places[near], heights[near], strict=True):
        row, column = round(y), round(x)
        profile_y = np.exp(-0.5 * ((around + row - y) / sigma) ** 2)
        profile_x = np.exp(-0.5 * ((around + column - x) / sigma) ** 2)
        top, left = row + reach, column + reach
        image[top : top + len(around), left : left + len(around)] += height * profile_y[:, None] * profile_x
    return image[2 * reach : 2 * reach + shape[0], 2 * reach : 2 * reach + shape[1]]


def _stage_nm(instrument: Any) -> NDArray[np.float64]:
    """How far (y, x) stage and beam shift have moved the sheet."""
    if instrument is None:
        return np.zeros(2)
    return 1e9 * np.array(tuple(instrument.value_manager.actual_offset_m), np.float64)
