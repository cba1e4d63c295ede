"""Atoms as bright blobs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..neighbours import neighbour_px
from ._lattice import lattice_period_px
from ._noise import noise_level
from ._response import blob_response, maxima, noise_gain, refine

_SCALES_PX = 1.5 * 2.0 ** (np.arange(13) / 4)
"""Scales that are tried where there is no lattice to tell."""
_SCALE_OF_NEIGHBOUR = 0.27
"""The scale that finds most, relative to the distance between neighbours ..."""
_SCALE_OF_PERIOD = 0.18
"""... and to the period of the lattice planes, from which the neighbours are found first."""
_REACH = 1.3
"""Two maxima closer than this many scales are one atom."""
_STRONGEST = 5
_LATTICE_FLOOR = 2.0
_LATTICE_SHARE = 0.4
"""On a lattice, an atom has at least this share of the upper quartile of all maxima, and this many noise levels."""
_SPARSE_FLOOR = 5.0
_SPARSE_DIPS = 2.75
"""On a support, an atom stands out more than this many times as far as the support's typical dip, and this many noise levels."""
_STEPS = 2.0 ** np.array([-0.5, -0.25, 0.0, 0.25, 0.5])


def log_atoms(frame: NDArray[Any], *, scale_px: float | None = None, threshold: float | None = None) -> NDArray[np.float64]:
    """Atoms found as maxima of the Laplacian of Gaussian, shape (N, 4): y, x in pixels, strength, sigma_px; in reading order.

    strength is the response in standard deviations of what the frame's noise alone gives; sigma_px the scale near
    the one used at which the blob answers most, in crowded lattices a little less than the atom's own width.
    A constant frame has no atoms: shape (0, 4).

    Scale and threshold come from the frame. Where a lattice shows in the power spectrum, the scale follows from
    the distance between neighbours, and an atom is what is not much weaker than the others. Elsewhere (single atoms on
    a support) the scale is the one at which the strongest blobs stand out most against the dips of the same scale, and
    those dips, which no atom makes, say how far a blob must stand out.

    frame : ndarray, shape (rows, columns), any real dtype
    scale_px : standard deviation of the Gaussian in pixels, if it shall not be found
    threshold : least strength, if it shall not be found

    Raises
    ------
    InputError
        for pixels that are not finite (see `filled`), a frame that is none, or a scale or threshold that is not above 0.
    """
    image = _checked(frame, scale_px, threshold)
    if not np.ptp(image):
        return np.empty((0, 4))
    noise = _noise(image)
    period = lattice_period_px(image)
    if period is None:
        scale = scale_px or _scale_on_support(image, noise)
        response = _strength(image, noise, scale)
        least = threshold or _least_on_support(response, scale)
    else:
        scale = scale_px or _scale_on_lattice(image, noise, period)
        response = _strength(image, noise, scale)
        least = threshold or _least_on_lattice(response, scale)
    at = _above(response, scale, least)
    return np.column_stack([refine(response, at), response[at[:, 0], at[:, 1]], _own_scales(image, at, scale)])


def blob_strength(frame: NDArray[Any], scale_px: float) -> NDArray[np.float32]:
    """How much of a bright blob each pixel is, shape of `frame`, in standard deviations of what the frame's noise alone gives.

    frame : ndarray, shape (rows, columns), any real dtype
    scale_px : standard deviation of the Gaussian in pixels

    Raises
    ------
    InputError
        as `log_atoms` does.
    """
    image = _checked(frame, scale_px, None)
    return _strength(image, _noise(image), scale_px)


def filled(frame: NDArray[Any]) -> NDArray[Any]:
    """The frame with its median in pixels that are not finite, as in rows that hold no data; 0 where no pixel is finite."""
    finite = np.isfinite(frame)
    return frame if finite.all() else np.where(finite, frame, np.median(frame[finite]) if finite.any() else 0)


def _checked(frame: NDArray[Any], scale_px: float | None, threshold: float | None) -> NDArray[np.float32]:
    if frame.ndim != 2 or min(frame.shape) < 3:
        raise InputError(f"a frame has rows and columns, at least 3 of each; this array has shape {list(frame.shape)}")
    for name, value in (("scale_px", scale_px), ("threshold", threshold)):
        if value is not None and not value > 0:
            raise InputError(f"{name} = {value:g} is not above 0")
    bad = int(np.count_nonzero(~np.isfinite(frame)))
    if bad:
        raise InputError(f"{bad} of {frame.size} pixels are not finite")
    # The offset goes first: in single precision a small contrast on a large one would be lost.
    return (frame.astype(np.float64) - float(np.median(frame))).astype(np.float32)


def _noise(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """The noise level, never 0: a frame without noise is taken to have a thousandth of its contrast."""
    least = max(1e-3 * float(image.std()), float(np.finfo(np.float32).tiny))
    return np.maximum(noise_level(image), np.float32(least))


def _strength(image: NDArray[np.float32], noise: NDArray[np.float32], scale_px: float) -> NDArray[np.float32]:
    """The response in units of what white noise alone gives."""
    return blob_response(image, scale_px) / (noise * np.float32(noise_gain(scale_px)))


def _above(response: NDArray[np.float32], scale_px: float, least: float) -> NDArray[np.int64]:
    at = maxima(response, _REACH * scale_px)
    return at[response[at[:, 0], at[:, 1]] > least]


def _heights(response: NDArray[np.float32], scale_px: float) -> NDArray[np.float32]:
    at = maxima(response, _REACH * scale_px)
    return response[at[:, 0], at[:, 1]]


def _scale_on_lattice(image: NDArray[np.float32], noise: NDArray[np.float32], period_px: float) -> float:
    first = max(1.0, _SCALE_OF_PERIOD * period_px)
    response = _strength(image, noise, first)
    atoms = _above(response, first, _least_on_lattice(response, first))
    if len(atoms) < 3:
        return first
    return float(np.clip(_SCALE_OF_NEIGHBOUR * neighbour_px(atoms), first, 2 * first))


def _least_on_lattice(response: NDArray[np.float32], scale_px: float) -> float:
    heights = _heights(response, scale_px)
    return max(_LATTICE_FLOOR, _LATTICE_SHARE * float(np.quantile(heights, 0.75))) if len(heights) else _LATTICE_FLOOR


def _scale_on_support(image: NDArray[np.float32], noise: NDArray[np.float32]) -> float:
    largest = max(_SCALES_PX[0], min(image.shape) / 16)
    return float(max((scale for scale in _SCALES_PX if scale <= largest), key=lambda scale: _contrast(_strength(image, noise, scale), scale)))


def _contrast(response: NDArray[np.float32], scale_px: float) -> float:
    """How far the strongest blobs stand out, in typical dips."""
    blobs, dips = _heights(response, scale_px), _heights(-response, scale_px)
    if not len(blobs) or not len(dips):
        return 0.0
    return float(np.mean(np.sort(blobs)[-_STRONGEST:]) / np.sqrt(np.mean(dips.astype(np.float64) ** 2)))


def _least_on_support(response: NDArray[np.float32], scale_px: float) -> float:
    dips = _heights(-response, scale_px)
    return max(_SPARSE_FLOOR, _SPARSE_DIPS * float(np.median(dips))) if len(dips) else _SPARSE_FLOOR


def _own_scales(image: NDArray[np.float32], at: NDArray[np.int64], scale_px: float) -> NDArray[np.float64]:
    """The scale between half an octave below and above `scale_px` at which each blob answers most, by a parabola through the greatest answer."""
    answers = np.stack([blob_response(image, scale_px * step)[at[:, 0], at[:, 1]] for step in _STEPS]).astype(np.float64)
    best = np.clip(np.argmax(answers, axis=0), 1, len(_STEPS) - 2)
    low, middle, high = (np.take_along_axis(answers, best[None] + k, axis=0)[0] for k in (-1, 0, 1))
    bend = low - 2 * middle + high
    with np.errstate(divide="ignore", invalid="ignore"):
        shift = np.where(bend < 0, 0.5 * (low - high) / bend, 0.0)
    octaves = np.log2(_STEPS)[best] + 0.25 * np.clip(shift, -1, 1)
    own: NDArray[np.float64] = scale_px * 2.0**octaves
    return own
