"""Two-dimensional specimens: where the atoms are, how brightly each scatters, which class each belongs to."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

HOST = 0
IMPURITY = 1
A_SITE = 0
B_SITE = 1
UNLABELLED = -1


@dataclass(frozen=True)
class Specimen:
    """Atoms, or atom columns, in a plane.

    positions_nm : ndarray, shape (N, 2), (y, x) in nm
    brightness : ndarray, shape (N,), scattered intensity relative to a host atom
    kind : ndarray, shape (N,), class index (`HOST`, `IMPURITY`; `A_SITE`, `B_SITE`), or -1 for matter that nobody should label
    neighbour_nm : smallest distance between neighbours of the perfect lattice, in nm
    """

    positions_nm: NDArray[np.float64]
    brightness: NDArray[np.float64]
    kind: NDArray[np.int64]
    neighbour_nm: float

    def keep(self, mask: NDArray[np.bool_]) -> Specimen:
        """The same specimen with only the atoms where `mask` is true."""
        return replace(self, positions_nm=self.positions_nm[mask], brightness=self.brightness[mask], kind=self.kind[mask])

    def join(self, positions_nm: NDArray[np.float64], brightness: NDArray[np.float64], kind: int) -> Specimen:
        """The same specimen with more atoms of one kind added."""
        return replace(
            self,
            positions_nm=np.concatenate([self.positions_nm, positions_nm]),
            brightness=np.concatenate([self.brightness, brightness]),
            kind=np.concatenate([self.kind, np.full(len(positions_nm), kind)]),
        )

    def moved(self, positions_nm: NDArray[np.float64]) -> Specimen:
        """The same atoms at other places, shape (N, 2) in nm."""
        return replace(self, positions_nm=positions_nm)


def crop(specimen: Specimen, field_nm: tuple[float, float]) -> Specimen:
    """Only the atoms whose centres lie in the field of view (height, width) in nm."""
    return specimen.keep(np.all((specimen.positions_nm >= 0) & (specimen.positions_nm < np.array(field_nm)), axis=1))


def shake(specimen: Specimen, sigma_nm: float, *, rng: np.random.Generator) -> Specimen:
    """The specimen with each atom displaced at random, normal with standard deviation `sigma_nm` along y and x (thermal motion)."""
    return specimen.moved(specimen.positions_nm + rng.normal(0.0, sigma_nm, specimen.positions_nm.shape))


def strain(specimen: Specimen, gradient: NDArray[np.float64], centre_nm: tuple[float, float]) -> Specimen:
    """The specimen deformed about a fixed point: r becomes r + gradient (r - centre).

    gradient : ndarray, shape (2, 2), displacement gradient in (y, x); its symmetric part is strain, the rest a rotation
    """
    arm = specimen.positions_nm - np.array(centre_nm)
    return specimen.moved(specimen.positions_nm + arm @ np.asarray(gradient, np.float64).T)
