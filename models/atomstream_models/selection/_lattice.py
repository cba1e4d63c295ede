"""What all members together say of a frame's lattice: the yardstick for each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..cleaning import lattice_translations
from ..locate import locate
from ..neighbours import neighbour_px

_COMPARED = 1 << 18
"""Pixels of the median map are worked out this many at a time."""


@dataclass(frozen=True)
class Consensus:
    """The lattice that members agree on: atoms in their median map, which a few bad members don't move.

    yx : ndarray, shape (N, 2), positions on the network's grid
    neighbour_px : median distance between nearest neighbours there; NaN where there are no two atoms
    steps : ndarray, shape (K, 2), their `cleaning.lattice_translations`
    """

    yx: NDArray[np.float64]
    neighbour_px: float
    steps: NDArray[np.float64]

    @property
    def periodic(self) -> bool:
        """Whether the atoms repeat, so that an atom can be on or off the lattice."""
        return len(self.steps) > 0


def consensus(maps: Sequence[NDArray[np.float32]], threshold: float) -> Consensus:
    """The consensus of members' maps, each of shape (classes, rows, columns).

    Where most members are so bad that their median shows no lattice, there is none: a member that sees a lattice of its own
    everywhere must not become the yardstick.
    """
    flat = [one.reshape(-1) for one in maps]
    median = np.empty_like(flat[0])
    for start in range(0, median.size, _COMPARED):
        part = slice(start, start + _COMPARED)
        median[part] = np.median(np.stack([one[part] for one in flat]), axis=0)
    yx = locate(median.reshape(maps[0].shape), None, (), threshold)[:, :2].astype(np.float64)
    return Consensus(yx, neighbour_px(yx), lattice_translations(yx))
