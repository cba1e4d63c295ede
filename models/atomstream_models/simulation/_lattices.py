"""Perfect lattices that cover a field of view."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ._specimen import HOST, Specimen

GRAPHENE_BOND_NM = 0.142
"""Carbon-carbon distance in graphene."""


@dataclass(frozen=True)
class Placement:
    """How a lattice lies in the field of view; its origin is always at a random lattice phase.

    rotation_rad : turn of the lattice
    strain : displacement gradient, 2 by 2 in (y, x), applied after the turn; none of its stretches may exceed 40 %
    thermal_nm : standard deviation of each atom's random displacement along y and x
    """

    rotation_rad: float = 0.0
    strain: tuple[tuple[float, float], tuple[float, float]] | None = None
    thermal_nm: float = 0.0


@dataclass(frozen=True)
class Motif:
    """What one lattice cell holds.

    sites_nm : ndarray, shape (B, 2), (y, x) in nm from the cell's corner
    brightness : intensity of each site relative to a host atom
    kind : class index of each site, -1 = never labelled
    """

    sites_nm: NDArray[np.float64]
    brightness: tuple[float, ...]
    kind: tuple[int, ...]


def graphene(
    field_nm: tuple[float, float],
    rotation_rad: float = 0.0,
    thermal_nm: float = 0.0,
    *,
    strain: tuple[tuple[float, float], tuple[float, float]] | None = None,
    rng: np.random.Generator,
) -> Specimen:
    """A graphene sheet that covers a field of view (height, width) in nm, its origin at a random lattice phase."""
    cell, sites = honeycomb(GRAPHENE_BOND_NM)
    return tile(cell, Motif(sites, (1.0, 1.0), (HOST, HOST)), field_nm, Placement(rotation_rad, strain, thermal_nm), GRAPHENE_BOND_NM, rng=rng)


def square_lattice(
    field_nm: tuple[float, float],
    spacing_nm: float,
    rotation_rad: float = 0.0,
    thermal_nm: float = 0.0,
    *,
    strain: tuple[tuple[float, float], tuple[float, float]] | None = None,
    rng: np.random.Generator,
) -> Specimen:
    """A square lattice of one kind of atom column that covers a field of view (height, width) in nm."""
    motif = Motif(np.zeros((1, 2)), (1.0,), (HOST,))
    return tile(spacing_nm * np.eye(2), motif, field_nm, Placement(rotation_rad, strain, thermal_nm), spacing_nm, rng=rng)


def honeycomb(bond_nm: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cell vectors and the two sites of a honeycomb, each (2, 2) in nm."""
    cell = np.array([[0.0, np.sqrt(3) * bond_nm], [1.5 * bond_nm, np.sqrt(3) * bond_nm / 2]])
    return cell, np.array([[0.0, 0.0], [bond_nm, 0.0]])


def tile(
    cell_nm: NDArray[np.float64],
    motif: Motif,
    field_nm: tuple[float, float],
    placement: Placement,
    neighbour_nm: float,
    *,
    rng: np.random.Generator,
) -> Specimen:
    """A motif repeated over a field of view (height, width) in nm and two neighbour distances beyond it.

    cell_nm : ndarray, shape (2, 2), one lattice vector a row

    Raises `InputError` for a field or a cell without size and for a strain beyond 40 %.
    """
    if min(field_nm) <= 0 or not np.isfinite(field_nm).all() or abs(np.linalg.det(cell_nm)) == 0:
        raise InputError(f"a lattice needs a field of view and a cell of some size, got {field_nm} nm and {cell_nm.tolist()} nm")
    reach = int(np.ceil(np.hypot(*field_nm) / np.linalg.norm(cell_nm, axis=1).min())) + 2
    index = np.stack(np.meshgrid(np.arange(-reach, reach + 1), np.arange(-reach, reach + 1), indexing="ij"), -1).reshape(-1, 2)
    sites = ((index + rng.random(2)) @ cell_nm)[:, None] + motif.sites_nm
    cos, sin = np.cos(placement.rotation_rad), np.sin(placement.rotation_rad)
    positions = sites.reshape(-1, 2) @ np.array([[cos, sin], [-sin, cos]])
    if placement.strain is not None:
        positions = positions @ _deformation(placement.strain).T
    positions = positions + np.array(field_nm) / 2
    positions += rng.normal(0.0, placement.thermal_nm, positions.shape)
    margin = 2 * neighbour_nm
    inside = np.all((positions > -margin) & (positions < np.array(field_nm) + margin), axis=1)
    site = np.flatnonzero(inside) % len(motif.kind)
    return Specimen(positions[inside], np.array(motif.brightness)[site], np.array(motif.kind)[site], neighbour_nm)


def _deformation(gradient: tuple[tuple[float, float], tuple[float, float]]) -> NDArray[np.float64]:
    matrix = np.eye(2) + np.asarray(gradient, np.float64)
    stretches = np.linalg.svd(matrix, compute_uv=False)
    if not np.all((stretches >= 0.6) & (stretches <= 1.4)):
        raise InputError(f"strain {np.asarray(gradient).tolist()} stretches the lattice by {stretches.round(3).tolist()}; 0.6 to 1.4 is allowed")
    return matrix
