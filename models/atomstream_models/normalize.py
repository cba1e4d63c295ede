"""Frame normalisation: the very functions that training used, chosen by the bundle's card."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SAMPLES = 1 << 14
"""Percentiles come from a regular subsample of about this many pixels: exact enough, and ten times as fast."""

Normalize = Callable[[NDArray[Any]], NDArray[np.float32]]


@dataclass(frozen=True)
class Scaling:
    """What a normalisation comes to on one frame: (pixel - offset) * factor, clipped.

    clip : smallest and largest value of the answer
    work : what it is computed in
    """

    offset: float
    factor: float
    clip: tuple[float, float] | None = None
    work: type[np.float32] | type[np.float64] = np.float32

    def __call__(self, frame: NDArray[Any]) -> NDArray[np.float32]:
        """The frame, normalised; zeros where the frame that this was made for is constant."""
        if not self.factor:
            return np.zeros(frame.shape, np.float32)
        out: NDArray[Any] = frame.astype(self.work)
        np.subtract(out, self.work(self.offset), out=out)
        np.multiply(out, self.work(self.factor), out=out)
        if self.clip is not None:
            np.clip(out, *self.clip, out=out)
        return out.astype(np.float32, copy=False)

    def is_near(self, other: Scaling, share: float) -> bool:
        """Whether values that the other makes 0 and 1 come out as these, give or take a share of their distance."""
        if not (self.factor and other.factor) or (self.clip, self.work) != (other.clip, other.work):
            return self == other
        return abs((other.offset - self.offset) * self.factor) <= share and abs(self.factor / other.factor - 1) <= share


Fit = Callable[[NDArray[Any]], Scaling]


class UnknownNormalization(ValueError):
    """The card names a normalisation, or a parameter of one, that this version does not have."""


def robust(frame: NDArray[Any], *, low: float = 16.0, high: float = 84.0, clip: tuple[float, float] = (-8.0, 24.0)) -> NDArray[np.float32]:
    """(frame - median) / half the spread between two percentiles, clipped.

    The median and the spread are those of noise and host lattice, so that a few bright impurities, a hot pixel
    or a bright patch do not move them. Where that spread is tiny (isolated atoms on a silent background) a quarter
    of the standard deviation stands in, taken without the outermost half percent. A constant frame gives zeros.

    frame : ndarray, shape (rows, columns), any real unit, finite
    low, high : percentiles between which the spread is taken
    clip : smallest and largest value of the answer
    """
    return _robust(frame, low, high, clip)(frame)


def _robust(frame: NDArray[Any], low: float, high: float, clip: tuple[float, float]) -> Scaling:
    step = max(1, int(np.sqrt(frame.size / SAMPLES)))
    work = _working_dtype(frame)
    sample = frame[::step, ::step].ravel().astype(work)
    last = len(sample) - 1
    kth = [round(last * q / 100) for q in (0.5, low, 50.0, high, 99.5)]
    ordered = np.partition(sample, sorted(set(kth)))
    least, bottom, middle, top, most = (float(ordered[k]) for k in kth)
    scale = max((top - bottom) / 2, 0.25 * float(ordered[(ordered >= least) & (ordered <= most)].std(dtype=np.float64)))
    usable = scale > 0 and np.isfinite(scale)
    return Scaling(middle, 1 / scale if usable else 0.0, clip, work)


def _working_dtype(frame: NDArray[Any]) -> type[np.float32] | type[np.float64]:
    """Where a small contrast may sit on a large offset, float32 would lose it before the offset is taken off."""
    return np.float32 if frame.dtype.itemsize <= 2 or frame.dtype == np.float32 else np.float64


def minmax(frame: NDArray[Any]) -> NDArray[np.float32]:
    """(frame - min) / (max - min), as AtomAI does it for a stack of one frame. A constant frame gives zeros."""
    return _minmax(frame)(frame)


def _minmax(frame: NDArray[Any]) -> Scaling:
    low, high = float(frame.min()), float(frame.max())
    return Scaling(low, 1 / (high - low) if high > low else 0.0)


def _identity(frame: NDArray[Any]) -> Scaling:
    return Scaling(0.0, 1.0)


def normalizer(name: str, parameters: Mapping[str, Any] | None = None) -> Normalize:
    """The normalisation that a card names, its parameters filled in; raises as `fitter` does."""
    fit = fitter(name, parameters)
    return lambda frame: fit(frame)(frame)


def fitter(name: str, parameters: Mapping[str, Any] | None = None) -> Fit:
    """What the normalisation that a card names comes to on a frame, its parameters filled in.

    name : `robust`, `minmax` or `none`

    Raises
    ------
    UnknownNormalization
        for another name, or a parameter the function does not take.
    """
    given = dict(parameters or {})
    if name == "robust":
        unknown = set(given) - {"low", "high", "clip"}
        if unknown:
            raise UnknownNormalization(f"normalization 'robust' has no parameter {sorted(unknown)}")
        low, high = float(given.get("low", 16.0)), float(given.get("high", 84.0))
        clip_low, clip_high = (float(v) for v in given.get("clip", (-8.0, 24.0)))
        if not (0 <= low < high <= 100 and clip_low < clip_high):
            raise UnknownNormalization(f"normalization 'robust' cannot use low={low}, high={high}, clip={clip_low, clip_high}")
        return lambda frame: _robust(frame, low, high, (clip_low, clip_high))
    if given:
        raise UnknownNormalization(f"normalization {name!r} takes no parameters, the card gives {sorted(given)}")
    if name == "minmax":
        return _minmax
    if name == "none":
        return _identity
    raise UnknownNormalization(f"normalization {name!r} is not one of robust, minmax, none")
