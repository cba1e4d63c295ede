"""Pictures of a frame for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from atomstream_models.shades import levels, shaded

_CLASS_COLOURS_BGR = ((233, 180, 86), (0, 94, 213), (115, 158, 0), (167, 121, 204), (66, 228, 240), (0, 159, 230))
"""Okabe and Ito's colours, told apart by colour-blind eyes too."""


def coloured(maps: NDArray[np.float32], top: float) -> NDArray[np.uint8]:
    """Class maps summed and coloured from 0 to `top` with viridis, shape (rows, columns, 3)."""
    scaled = np.clip(maps.sum(axis=0) * (255 / top), 0, 255).astype(np.uint8)
    return np.asarray(cv2.applyColorMap(scaled, cv2.COLORMAP_VIRIDIS), np.uint8)


def with_atoms(image: NDArray[Any], atoms: NDArray[np.float32], radius_px: float) -> NDArray[np.uint8]:
    """A frame with a circle around each atom, coloured by class; small frames are enlarged so that circles show."""
    zoom = max(1, round(768 / max(image.shape)))
    canvas = cv2.cvtColor(shaded(image, *levels(image)), cv2.COLOR_GRAY2BGR)
    canvas = cv2.resize(canvas, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_NEAREST)
    shift = 4
    for y, x, kind in atoms[:, :3]:
        centre = (round(((x + 0.5) * zoom - 0.5) * 2**shift), round(((y + 0.5) * zoom - 0.5) * 2**shift))
        colour = _CLASS_COLOURS_BGR[int(kind) % len(_CLASS_COLOURS_BGR)]
        cv2.circle(canvas, centre, round(radius_px * zoom * 2**shift), colour, 1, cv2.LINE_AA, shift)
    return np.asarray(canvas, np.uint8)


def typical_radius(atoms: NDArray[np.float32]) -> float:
    """Radius of a circle around an atom, in pixels, from the atoms' areas."""
    return max(2.0, 1.3 * float(np.sqrt(np.median(atoms[:, 8]) / np.pi))) if len(atoms) else 3.0


def png(picture: NDArray[np.uint8]) -> bytes:
    """The picture as PNG."""
    done, data = cv2.imencode(".png", picture)
    if not done:
        raise RuntimeError("the picture could not be written as PNG")
    return bytes(data)


def draw(layer: str, arrays: Mapping[str, NDArray[Any]], needed: Sequence[str]) -> bytes:
    """One layer as PNG, from the arrays that `layers_for` asked for."""
    first = arrays[needed[0]]
    if layer == "frame":
        return png(shaded(first, *levels(first)))
    if layer == "atoms":
        return png(with_atoms(first, arrays["atoms"], typical_radius(arrays["atoms"])))
    return png(coloured(first, 0.5 if layer == "std" else 1.0))


def layers_for(layer: str) -> list[str]:
    """Arrays that drawing a layer needs."""
    return ["frame", "atoms"] if layer == "atoms" else [layer]
