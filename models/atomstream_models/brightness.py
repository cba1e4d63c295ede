"""How bright atoms are."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .neighbours import neighbour_px

Background = Literal["ring", "frame"]
"""ring = median of the pixels around each atom, so that contamination and uneven background drop out; frame = median of the frame."""

_DISC_OF_NEIGHBOUR = 0.25
_RING = (2.0, 5.0)
_AT_ONCE = 2048


def default_radius_px(atoms_yx: NDArray[np.floating]) -> float:
    """A quarter of the median distance between nearest neighbours, at least one pixel; 2 px where there are no two atoms."""
    if len(atoms_yx) < 2:
        return 2.0
    return max(1.0, _DISC_OF_NEIGHBOUR * neighbour_px(atoms_yx))


def intensities(
    frame: NDArray[Any], atoms_yx: NDArray[np.floating], radius_px: float | None = None, *, background: Background = "ring", normalise: bool = True
) -> NDArray[np.float64]:
    """Mean brightness in a disc around each atom above its background, shape (N,); pixels outside the frame don't count.

    Normalised, the median atom of the frame has 1, so that frames of different dose, gain and focus compare: atoms of one
    kind keep their ratio to the host. That holds where hosts are the majority.

    frame : ndarray, shape (rows, columns), finite
    atoms_yx : ndarray, shape (N, 2 or more), beginning with y, x in pixels
    radius_px : of the disc; a quarter of the median distance between neighbours by default
    background : what is taken off; the ring lies between 2 and 5 disc radii
    normalise : divide by the median atom (by the spread of the atoms where the median atom is no brighter than its background)

    Raises
    ------
    InputError
        for a radius that is not above 0, or an array that is not a frame.
    """
    if frame.ndim != 2:
        raise InputError(f"a frame has rows and columns; this array has shape {list(frame.shape)}")
    yx = np.asarray(atoms_yx[:, :2], np.float64)
    radius = default_radius_px(yx) if radius_px is None else radius_px
    if not radius > 0:
        raise InputError(f"radius_px = {radius:g} is not above 0")
    image = frame.astype(np.float64)
    values = np.empty(len(yx))
    for start in range(0, len(yx), _AT_ONCE):
        part = yx[start : start + _AT_ONCE]
        values[start : start + _AT_ONCE] = _mean(_around(image, part, 0.0, radius))
        if background == "ring":
            values[start : start + _AT_ONCE] -= _median(_around(image, part, _RING[0] * radius, _RING[1] * radius))
    if background == "frame":
        values -= float(np.median(image))
    return values / _unit(values) if normalise and len(values) else values


def _around(image: NDArray[np.float64], yx: NDArray[np.float64], inner_px: float, outer_px: float) -> NDArray[np.float64]:
    """The pixels whose distance from each atom is between two radii, shape (N, pixels), NaN beyond the frame and beyond the radii."""
    reach = int(np.ceil(outer_px)) + 1
    span = np.arange(-reach, reach + 1)
    dy, dx = (part.ravel() for part in np.meshgrid(span, span, indexing="ij"))
    possible = (np.hypot(dy, dx) <= outer_px + 1) & (np.hypot(dy, dx) >= inner_px - 1)
    dy, dx = dy[possible], dx[possible]
    nearest = np.rint(yx).astype(np.int64)
    y, x = nearest[:, :1] + dy, nearest[:, 1:] + dx
    distance = np.hypot(y - yx[:, :1], x - yx[:, 1:])
    wanted = (distance >= inner_px) & ((distance <= outer_px) | ((dy == 0) & (dx == 0)))
    wanted &= (y >= 0) & (y < image.shape[0]) & (x >= 0) & (x < image.shape[1])
    pixels = image[np.clip(y, 0, image.shape[0] - 1), np.clip(x, 0, image.shape[1] - 1)]
    return np.where(wanted, pixels, np.nan)


def _mean(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    counts = np.isfinite(pixels).sum(axis=1)
    total = np.nansum(pixels, axis=1)
    mean: NDArray[np.float64] = np.divide(total, counts, out=np.zeros(len(pixels)), where=counts > 0)
    return mean


def _median(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median of the finite pixels of each row; 0 where there is none."""
    counts = np.isfinite(pixels).sum(axis=1)
    ordered = np.sort(pixels, axis=1)
    rows = np.arange(len(pixels))
    low, high = np.maximum(counts - 1, 0) // 2, np.minimum(counts // 2, pixels.shape[1] - 1)
    return np.where(counts > 0, 0.5 * (ordered[rows, low] + ordered[rows, high]), 0.0)


def _unit(values: NDArray[np.float64]) -> float:
    middle = float(np.median(values))
    spread = 1.4826 * float(np.median(np.abs(values - middle)))
    return middle if middle > max(spread, 0.0) else spread or float(np.max(np.abs(values))) or 1.0
