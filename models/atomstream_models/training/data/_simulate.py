from __future__ import annotations

import numpy as np

from ...simulation import expose
from .._targets import DISK_RADIUS
from ._set import TrainingSet, training_set
from ._settings import SimulatedData

_SIMULATE = 11
_LEAST_RADIUS_PX = 2.0


def simulate(data: SimulatedData, classes: int, seed: int) -> TrainingSet:
    """The noiseless training set of a recipe, its held-out images last; the same for the same seed.

    classes : number of classes; where it is 1 every labelled atom belongs to it
    """
    count, side = data.patches + data.validation, data.patch_px
    weights = np.array([scene.weight for scene in data.scenes])
    images = np.empty((count, side, side), np.float16)
    atoms, kinds, radius_px, pixel_sizes = [], [], np.empty(count), np.empty(count)
    for k in range(count):
        rng = np.random.default_rng([seed, _SIMULATE, k])
        scene = data.scenes[int(rng.choice(len(weights), p=weights / weights.sum()))]
        specimen, pixel_nm = scene.draw_specimen(side, rng)
        images[k] = expose(specimen, scene.draw_imaging(specimen, pixel_nm, side, rng), rng=rng)
        near = np.all(np.abs(specimen.positions_nm / pixel_nm - side / 2) < side / 2 + specimen.neighbour_nm / pixel_nm, axis=1)
        atoms.append(specimen.positions_nm[near] / pixel_nm)
        kinds.append(np.minimum(specimen.kind[near], classes - 1))
        radius_px[k] = max(DISK_RADIUS * specimen.neighbour_nm / pixel_nm, _LEAST_RADIUS_PX)
        pixel_sizes[k] = pixel_nm
    return training_set(images, atoms, kinds, radius_px, classes, pixel_sizes)
