"""Tersoff's potential for carbon as an ASE calculator, all bonds at once in numpy. Importing this needs ASE."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from ase.calculators.calculator import Calculator, all_changes
from ase.neighborlist import neighbor_list
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ase import Atoms

_A, _B = 1393.6, 430.0
_DECAY_A, _DECAY_B = 3.4879, 2.2119
_C, _D, _H = 38049.0, 4.3484, -0.930
_N, _BETA = 0.72751, 1.5724e-7
_INNER, _OUTER = 1.80, 2.10
_SKIN = 0.4


class CarbonTersoff(Calculator):  # type: ignore[misc]
    """Energy in eV and forces in eV/Å of carbon: J. Tersoff, Phys. Rev. Lett. 61 (1988) 2879, doi 10.1103/PhysRevLett.61.2879,
    with the parameters optimised for graphene by Lindsay and Broido, Phys. Rev. B 81 (2010) 205441, doi 10.1103/PhysRevB.81.205441.

    The same numbers as `ase.calculators.tersoff`, which takes its bonds one by one (a millisecond an atom and step) and
    fails where an atom has a single neighbour.
    """

    implemented_properties: ClassVar = ["energy", "free_energy", "forces"]

    def __init__(self) -> None:
        super().__init__()
        self._bonds: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]] | None = None
        self._listed_at = np.empty((0, 3))

    def calculate(self, atoms: Atoms = None, properties: list[str] | None = None, system_changes: list[str] = all_changes) -> None:
        """Called by ASE."""
        super().calculate(atoms, properties, system_changes)
        energy, forces = _energy_and_forces(self.atoms.positions, *self._neighbours(set(system_changes)))
        self.results = {"energy": energy, "free_energy": energy, "forces": forces}

    def _neighbours(self, changes: set[str]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Both ends and the cell shift in Å of each possible bond, listed anew when an atom has moved far."""
        positions = self.atoms.positions
        stale = self._bonds is None or not changes <= {"positions", "initial_magmoms", "initial_charges"} or positions.shape != self._listed_at.shape
        if stale or np.max(np.sum((positions - self._listed_at) ** 2, axis=1), initial=0.0) > (_SKIN / 2) ** 2:
            first, second, shift = neighbor_list("ijS", self.atoms, _OUTER + _SKIN)
            self._bonds = first, second, shift @ np.asarray(self.atoms.cell)
            self._listed_at = positions.copy()
        assert self._bonds is not None
        return self._bonds


def _energy_and_forces(
    positions: NDArray[np.float64], first: NDArray[np.int64], second: NDArray[np.int64], shift: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64]]:
    """The sum over directed bonds p = (i, j); each meets every other bond q = (i, k) of its first atom in an angle."""
    arm = positions[second] - positions[first] + shift
    length = np.linalg.norm(arm, axis=1)
    real = length < _OUTER
    first, second, arm, length = first[real], second[real], arm[real], length[real]
    unit = arm / length[:, None]
    p, q = _angles(first)

    width = _OUTER - _INNER
    phase = np.pi * np.clip((length - _INNER) / width, 0, 1)
    near, near_slope = 0.5 * (1 + np.cos(phase)), -0.5 * np.pi / width * np.sin(phase)
    cosine = np.einsum("ij,ij->i", unit[p], unit[q])
    off = _H - cosine
    angular = 1 + (_C / _D) ** 2 - _C**2 / (_D**2 + off**2)
    angular_slope = -2 * _C**2 * off / (_D**2 + off**2) ** 2
    zeta = np.bincount(p, near[q] * angular, len(first))
    load = np.maximum(_BETA * zeta, 1e-300)
    order = (1 + load**_N) ** (-0.5 / _N)
    order_slope = np.where(zeta > 0, -0.5 * _BETA * order / (1 + load**_N) * load ** (_N - 1), 0.0)

    repulsion, attraction = _A * np.exp(-_DECAY_A * length), -_B * np.exp(-_DECAY_B * length)
    energy = 0.5 * float(np.sum(near * (repulsion + order * attraction)))
    along = 0.5 * (near_slope * (repulsion + order * attraction) - near * (_DECAY_A * repulsion + order * _DECAY_B * attraction))
    slope = along[:, None] * unit
    weight = (0.5 * near * attraction * order_slope)[p]
    _add(slope, q, (weight * near_slope[q] * angular)[:, None] * unit[q])
    turn = (weight * near[q] * angular_slope)[:, None]
    _add(slope, p, turn * (unit[q] - cosine[:, None] * unit[p]) / length[p, None])
    _add(slope, q, turn * (unit[p] - cosine[:, None] * unit[q]) / length[q, None])
    forces = np.zeros_like(positions)
    _add(forces, first, slope)
    _add(forces, second, -slope)
    return energy, forces


def _angles(first: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All ordered pairs of different bonds that share their first atom; `first` is sorted, as ASE lists neighbours."""
    count = np.bincount(first)[first] if len(first) else first
    start = np.searchsorted(first, first)
    p = np.repeat(np.arange(len(first)), count)
    q = np.arange(len(p)) - np.repeat(np.cumsum(count) - count, count) + np.repeat(start, count)
    return p[p != q], q[p != q]


def _add(target: NDArray[np.float64], index: NDArray[np.int64], values: NDArray[np.float64]) -> None:
    for axis in range(3):
        target[:, axis] += np.bincount(index, values[:, axis], len(target))
