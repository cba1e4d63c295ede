"""What can happen to any specimen while it is scanned: it wanders, shakes, gets dirty."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ._specimen import Specimen

WANDER_NM = 0.004
"""Standard deviation of the specimen's step between two frames."""


class Story(Protocol):
    """What happens to one specimen during a movie."""

    def step(self, severity: float) -> Specimen:
        """The specimen in the next frame; `severity` tells how far the drift has come, 0 to 1."""


def in_reach(specimen: Specimen, field_nm: tuple[float, float]) -> NDArray[np.bool_]:
    """Which atoms are in the field of view (height, width) in nm or up to one neighbour distance beyond it, shape (N,)."""
    margin = specimen.neighbour_nm
    near: NDArray[np.bool_] = np.all((specimen.positions_nm > -margin) & (specimen.positions_nm < np.array(field_nm) + margin), axis=1)
    return near


def spot(field_nm: tuple[float, float], low: float, high: float, rng: np.random.Generator) -> tuple[float, float]:
    """A random place, its coordinates between `low` and `high` of the field of view."""
    y, x = rng.uniform(low, high, 2) * field_nm
    return float(y), float(x)
