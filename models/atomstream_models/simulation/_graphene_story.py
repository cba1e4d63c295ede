"""A graphene sheet whose silicon atoms hop, in which a hole opens and on which contamination creeps in."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ._defects import amorphous_patch, pierce, substitute
from ._lattices import graphene
from ._specimen import Specimen, shake
from ._story import WANDER_NM, in_reach, spot

_HOPS_PER_FRAME = 0.03
_SILICON = 4.2
"""Brightness of a silicon atom against a carbon atom in an annular dark-field image, (14/6)^1.7."""


class GrapheneStory:
    """One graphene sheet with silicon atoms (`IMPURITY`); severity widens a hole and a patch of contamination.

    field_nm : field of view (height, width)
    """

    def __init__(self, field_nm: tuple[float, float], rng: np.random.Generator) -> None:
        self._rng = rng
        self._field = field_nm
        area = field_nm[0] * field_nm[1]
        self._pristine = graphene(field_nm, rng.uniform(0, np.pi / 3), rng=rng)
        centres = rng.uniform(0.1, 0.9, (max(1, round(0.35 * area)), 2)) * field_nm
        self._silicon = [self._pristine.positions_nm[k] for k in self._nearest(centres)]
        self._hole = spot(field_nm, 0.25, 0.75, rng)
        self._dirt = spot(field_nm, 0.1, 0.9, rng)
        self._wander = np.zeros(2)

    def step(self, severity: float) -> Specimen:
        """The sheet in the next frame."""
        self._wander += self._rng.normal(0, WANDER_NM, 2)
        self._hop()
        specimen = substitute(self._pristine, np.array(self._silicon), _SILICON, rng=np.random.default_rng(0))
        if severity:
            short = min(self._field)
            specimen = pierce(specimen, self._hole, 0.2 * short * severity)
            specimen = amorphous_patch(specimen, self._dirt, 0.18 * short * severity, 40.0, 1.5, rng=self._rng)
        shaken = shake(specimen.moved(specimen.positions_nm + self._wander), 0.003, rng=self._rng)
        return shaken.keep(in_reach(shaken, self._field))

    def _nearest(self, points_nm: NDArray[np.float64]) -> NDArray[np.int64]:
        """Indices of the lattice sites nearest to some points (M, 2)."""
        squares = np.sum((self._pristine.positions_nm[:, None] - points_nm[None]) ** 2, axis=2)
        nearest: NDArray[np.int64] = np.argmin(squares, axis=0)
        return nearest

    def _hop(self) -> None:
        """Let each silicon atom jump to a neighbouring site with a small chance."""
        for k, seat in enumerate(self._silicon):
            if self._rng.random() < _HOPS_PER_FRAME:
                angle = self._rng.uniform(0, 2 * np.pi)
                aim = seat + self._pristine.neighbour_nm * np.array([np.sin(angle), np.cos(angle)])
                self._silicon[k] = self._pristine.positions_nm[self._nearest(aim[None])[0]]
