"""A frame with its atoms, as pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_COLOURS = ((64, 200, 255), (255, 96, 96), (96, 255, 128), (255, 160, 64))
"""Blue, green, red of each class: Nion's order."""
_SPREAD = (1.0, 99.0)


def picture(image: NDArray[Any], atoms: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The image in grey with a ring of each class's colour around every atom, shape (rows, columns, 3), blue, green, red.

    image : ndarray, shape (rows, columns)
    atoms : ndarray, shape (N, 10), columns `atomstream_client.ATOM_COLUMNS`
    """
    dark, bright = np.percentile(image, _SPREAD)
    grey = np.clip((image - dark) / max(float(bright - dark), 1e-12), 0, 1)
    drawn = np.repeat((255 * grey).astype(np.uint8)[:, :, None], 3, axis=2)
    ring = _ring(_radius(image.shape, len(atoms)))
    for kind in np.unique(atoms[:, 2]).astype(int):
        centres = np.rint(atoms[atoms[:, 2] == kind, :2]).astype(int)
        places = (centres[:, None] + ring[None]).reshape(-1, 2)
        inside = ((places >= 0) & (places < image.shape)).all(axis=1)
        drawn[tuple(places[inside].T)] = _COLOURS[kind % len(_COLOURS)]
    return drawn


def _radius(shape: tuple[int, ...], count: int) -> int:
    """About a third of the distance between neighbours, if the atoms fill the frame."""
    return max(2, round(0.33 * float(np.sqrt(shape[0] * shape[1] / max(count, 1))))) if count > 4 else max(2, min(shape) // 40)


def _ring(radius: int) -> NDArray[np.int64]:
    """Offsets (y, x) of the pixels of a circle."""
    angle = np.linspace(0, 2 * np.pi, 8 * radius, endpoint=False)
    return np.unique(np.rint(radius * np.stack([np.sin(angle), np.cos(angle)], axis=1)).astype(np.int64), axis=0)
