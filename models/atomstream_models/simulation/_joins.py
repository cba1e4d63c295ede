"""Two specimens in one: an island inside a host, two grains along a boundary."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ._lattices import graphene
from ._outlines import Outline, WavyLine, wavy_line
from ._specimen import Specimen

CROWDED = 0.75
"""Atoms nearer than this many neighbour distances to each other don't both exist at a seam."""


class Joined(NamedTuple):
    """Two specimens in one.

    specimen : all atoms
    guest : ndarray, shape (N,), which of them came from the second specimen
    """

    specimen: Specimen
    guest: NDArray[np.bool_]


def embed(host: Specimen, guest: Specimen, where: Outline) -> Joined:
    """The host outside an outline, the guest inside; of two atoms crowded at the seam the brighter stays, the host's if they are alike.

    The neighbour distance is the smaller of the two if any guest atom is there, else the host's.
    """
    outside, inside = host.keep(~where.contains(host.positions_nm)), guest.keep(where.contains(guest.positions_nm))
    return _stitch(outside, inside)


def grain_boundary(
    field_nm: tuple[float, float],
    rotations_rad: tuple[float, float],
    thermal_nm: float = 0.0,
    *,
    boundary: WavyLine | None = None,
    rng: np.random.Generator,
) -> Specimen:
    """Two graphene grains, each turned its own way, that meet along a wavy line (random where `boundary` is None)."""
    line = boundary or wavy_line(field_nm, rng=rng)
    one, other = (graphene(field_nm, rotation, thermal_nm, rng=rng) for rotation in rotations_rad)
    return _stitch(one.keep(line.left_of(one.positions_nm)), other.keep(~line.left_of(other.positions_nm))).specimen


def _stitch(one: Specimen, other: Specimen) -> Joined:
    neighbour_nm = min(one.neighbour_nm, other.neighbour_nm) if len(other.kind) else one.neighbour_nm
    both = Specimen(
        np.concatenate([one.positions_nm, other.positions_nm]),
        np.concatenate([one.brightness, other.brightness]),
        np.concatenate([one.kind, other.kind]),
        neighbour_nm,
    )
    guest = np.arange(len(both.kind)) >= len(one.kind)
    alive = _uncrowded(both, guest)
    return Joined(both.keep(alive), guest[alive])


def _uncrowded(both: Specimen, guest: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which atoms stay when those of different origin may not crowd each other; the brightest choose first."""
    alive = np.ones(len(guest), bool)
    pairs = cKDTree(both.positions_nm).query_pairs(CROWDED * both.neighbour_nm, output_type="ndarray") if len(guest) else np.empty((0, 2), np.int64)
    rank = np.lexsort((guest, -both.brightness)).argsort()
    pairs = pairs[guest[pairs[:, 0]] != guest[pairs[:, 1]]]
    winner = np.where(rank[pairs[:, 0]] < rank[pairs[:, 1]], pairs[:, 0], pairs[:, 1])
    loser = pairs.sum(axis=1) - winner
    for k in np.argsort(rank[winner], kind="stable"):
        if alive[winner[k]]:
            alive[loser[k]] = False
    return alive
