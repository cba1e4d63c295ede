"""Two-dimensional specimens: where the atoms are and how brightly each scatters."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

HOST = 0
IMPURITY = 1

GRAPHENE_BOND_NM = 0.142
"""Carbon-carbon distance in graphene."""


@dataclass(frozen=True)
class Specimen:
    """Atoms in a plane.

    positions_nm : ndarray, shape (N, 2), (y, x) in nm
    brightness : ndarray, shape (N,), scattered intensity relative to a host atom
    kind : ndarray, shape (N,), `HOST`, `IMPURITY`, or -1 for matter that nobody should label (amorphous)
    neighbour_nm : nearest-neighbour distance of the perfect lattice, in nm
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


def graphene(field_nm: tuple[float, float], rotation_rad: float = 0.0, thermal_nm: float = 0.0, *, rng: np.random.Generator) -> Specimen:
    """A graphene sheet that covers a field of view (height, width) in nm, its origin at a random lattice phase."""
    a = GRAPHENE_BOND_NM
    cell = np.array([[0.0, np.sqrt(3) * a], [1.5 * a, np.sqrt(3) * a / 2]])
    return _tile(cell, np.array([[0.0, 0.0], [a, 0.0]]), field_nm, rotation_rad, thermal_nm, a, rng)


def square_lattice(
    field_nm: tuple[float, float], spacing_nm: float, rotation_rad: float = 0.0, thermal_nm: float = 0.0, *, rng: np.random.Generator
) -> Specimen:
    """A square lattice of one kind of atom column that covers a field of view (height, width) in nm."""
    cell = spacing_nm * np.eye(2)
    return _tile(cell, np.zeros((1, 2)), field_nm, rotation_rad, thermal_nm, spacing_nm, rng)


def _tile(
    cell: NDArray[np.float64],
    basis: NDArray[np.float64],
    field_nm: tuple[float, float],
    rotation_rad: float,
    thermal_nm: float,
    neighbour_nm: float,
    rng: np.random.Generator,
) -> Specimen:
    reach = int(np.ceil(np.hypot(*field_nm) / np.linalg.norm(cell, axis=1).min())) + 2
    index = np.stack(np.meshgrid(np.arange(-reach, reach + 1), np.arange(-reach, reach + 1), indexing="ij"), -1).reshape(-1, 2)
    sites = ((index + rng.random(2)) @ cell)[:, None] + basis
    cos, sin = np.cos(rotation_rad), np.sin(rotation_rad)
    positions = sites.reshape(-1, 2) @ np.array([[cos, sin], [-sin, cos]]) + np.array(field_nm) / 2
    positions += rng.normal(0.0, thermal_nm, positions.shape)
    margin = 2 * neighbour_nm
    inside = np.all((positions > -margin) & (positions < np.array(field_nm) + margin), axis=1)
    positions = positions[inside]
    return Specimen(positions, np.ones(len(positions)), np.full(len(positions), HOST), neighbour_nm)


def substitute(specimen: Specimen, centres_nm: NDArray[np.float64], brightness: float, *, cluster: int = 1, rng: np.random.Generator) -> Specimen:
    """Heavy impurities in place of host atoms, each centre a single one or a tight cluster (a Si trimer has `cluster=3`).

    centres_nm : ndarray, shape (M, 2); a single impurity takes the place of the host atom nearest to its centre
    brightness : intensity of an impurity relative to a host atom
    """
    for centre in centres_nm:
        hosts = specimen.kind == HOST
        if not hosts.any():
            break
        seat = specimen.positions_nm[hosts][np.argmin(np.sum((specimen.positions_nm[hosts] - centre) ** 2, axis=1))]
        angles = rng.uniform(0, 2 * np.pi) + 2 * np.pi * np.arange(cluster) / cluster
        ring = 0.0 if cluster == 1 else specimen.neighbour_nm * rng.uniform(1.45, 1.8) / (2 * np.sin(np.pi / cluster))
        added = seat + ring * np.stack([np.sin(angles), np.cos(angles)], 1)
        distance = np.linalg.norm(specimen.positions_nm[:, None] - added[None], axis=2).min(axis=1)
        crowded = (distance < 0.75 * specimen.neighbour_nm) & (specimen.kind == HOST)
        specimen = specimen.keep(~crowded).join(added, brightness * rng.uniform(0.85, 1.15, cluster), IMPURITY)
    return specimen


def pierce(specimen: Specimen, centre_nm: tuple[float, float], radius_nm: float) -> Specimen:
    """The specimen with a round hole."""
    return specimen.keep(np.sum((specimen.positions_nm - np.array(centre_nm)) ** 2, axis=1) > radius_nm**2)


def amorphous_patch(
    specimen: Specimen, centre_nm: tuple[float, float], radius_nm: float, density_per_nm2: float, brightness: float, *, rng: np.random.Generator
) -> Specimen:
    """The specimen with a patch of unlabelled, disordered matter on top; the lattice below it is lost to labelling."""
    covered = np.sum((specimen.positions_nm - np.array(centre_nm)) ** 2, axis=1) < radius_nm**2
    count = rng.poisson(density_per_nm2 * np.pi * radius_nm**2)
    angle, r = rng.uniform(0, 2 * np.pi, count), radius_nm * np.sqrt(rng.random(count))
    dirt = np.array(centre_nm) + np.stack([r * np.sin(angle), r * np.cos(angle)], 1)
    buried = replace(specimen, kind=np.where(covered, -1, specimen.kind))
    return buried.join(dirt, brightness * rng.uniform(0.4, 1.2, count), -1)


def crop(specimen: Specimen, field_nm: tuple[float, float]) -> Specimen:
    """Only the atoms whose centres lie in the field of view (height, width) in nm."""
    return specimen.keep(np.all((specimen.positions_nm >= 0) & (specimen.positions_nm < np.array(field_nm)), axis=1))
