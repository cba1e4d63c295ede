"""Frames to answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from atomstream_models.simulation import SimulatedMicroscope

_SEED = 7
_LARGEST = 1024
"""Simulating larger frames takes minutes and many times the memory of answering them."""


@dataclass(frozen=True)
class Frames:
    """Frames of one size.

    images : ndarrays, shape (side, side), counts
    pixel_nm : size of a pixel in nm
    """

    images: list[NDArray[np.uint16]]
    pixel_nm: float

    def __getitem__(self, k: int) -> NDArray[np.uint16]:
        return self.images[k % len(self.images)]


def simulated(side: int, count: int = 3, seed: int = _SEED) -> Frames:
    """The simulated microscope's first frames of side x side pixels; large ones go on in mirror images of a smaller one."""
    simulated_px = min(side, _LARGEST)
    microscope = SimulatedMicroscope(seed, (simulated_px, simulated_px))
    made = [microscope.next_frame() for _ in range(count)]
    return Frames([np.pad(one.image, (0, side - simulated_px), mode="symmetric") for one in made], made[0].pixel_nm)
