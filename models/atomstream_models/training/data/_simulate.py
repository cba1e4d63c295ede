from __future__ import annotations

import numpy as np

from ...errors import InputError
from .._targets import DISK_RADIUS
from ._set import TrainingSet, training_set
from ._settings import SimulatedData

_SIMULATE = 11
_LEAST_RADIUS_PX = 2.0


def simulate(data: SimulatedData, classes: int, seed: int) -> TrainingSet:
    """The noiseless training set of a recipe, its held-out images last; the same for the same seed.

    classes : number of classes; where it is 1 every labelled atom belongs to it

    Raises
    ------
    InputError
        for an element of a class that is not there.
    ExtraMissing
        where a scene is to be seen by multislice and abTEM is not installed.
    """
    check_classes(data, classes)
    formations = [scene.image_formation() for scene in data.scenes]
    count, side = data.patches + data.validation, data.patch_px
    weights = np.array([scene.weight for scene in data.scenes])
    images = np.empty((count, side, side), np.float16)
    atoms, kinds, radius_px, pixel_sizes = [], [], np.empty(count), np.empty(count)
    for k in range(count):
        rng = np.random.default_rng([seed, _SIMULATE, k])
        which = int(rng.choice(len(weights), p=weights / weights.sum()))
        scene = data.scenes[which]
        specimen, pixel_nm = scene.draw_specimen(side, rng)
        images[k] = formations[which](specimen, scene.draw_imaging(specimen, pixel_nm, side, rng), rng=rng)
        near = np.all(np.abs(specimen.positions_nm / pixel_nm - side / 2) < side / 2 + specimen.neighbour_nm / pixel_nm, axis=1)
        atoms.append(specimen.positions_nm[near] / pixel_nm)
        kinds.append(np.minimum(specimen.kind[near], 0) if classes == 1 else specimen.kind[near])
        radius_px[k] = max(DISK_RADIUS * specimen.neighbour_nm / pixel_nm, _LEAST_RADIUS_PX)
        pixel_sizes[k] = pixel_nm
    return training_set(images, atoms, kinds, radius_px, classes, pixel_sizes)


def check_classes(data: SimulatedData, classes: int) -> None:
    """See that every element of the scenes' structures is of a class that is there; a single class takes them all.

    Raises
    ------
    InputError
        naming those that are not.
    """
    beyond = [f"{symbol} of class {kind}" for scene in data.scenes for symbol, kind in scene.elements.items() if kind >= classes > 1]
    if beyond:
        raise InputError(f"data.scenes have elements of classes that are not there, {', '.join(beyond)}: {classes} classes count from 0 to {classes - 1}")
