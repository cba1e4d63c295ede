"""From a frame to a network's input: gate, scale, normalise, pad."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..bundle import Card
from ..normalize import Scaling, fitter

MAX_GRID_PIXELS = 1 << 26
_FULL_SCALE_BITS = (8, 10, 12, 14, 15, 16, 31, 32)
_SATURATED_SHARE = 1e-3
CARRIED_SHARE = 0.1
"""Scalings whose zero and unit differ by less than this share of a unit are about the same. At the most, the same atoms came out within 0.1 px, probabilities
3e-4 apart on average and 0.05 at the worst pixel."""


class FrameRefused(ValueError):
    """A frame that can't be processed.

    code : `too_small`, `too_large`, `not_finite` or `scale_out_of_reach`
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Grid:
    """How the network's pixels lie on the frame's.

    frame_shape : (rows, columns) of the frame
    shape : (rows, columns) of the network's grid before padding
    """

    frame_shape: tuple[int, int]
    shape: tuple[int, int]

    @property
    def resampled(self) -> bool:
        return self.frame_shape != self.shape

    @property
    def scale(self) -> tuple[float, float]:
        """Grid pixels per frame pixel (y, x)."""
        return self.shape[0] / self.frame_shape[0], self.shape[1] / self.frame_shape[1]


@dataclass(frozen=True)
class Prepared:
    """A frame ready for the members.

    tensor : ndarray, shape (1, 1, H, W), float32, normalised and padded; None for a blank frame
    grid : how it lies on the frame
    flags : reasons for doubt found so far
    missing : ndarray, shape (rows,), which rows of the frame hold no data
    scaling : what the card's normalisation comes to on this frame; None where nothing was normalised
    """

    tensor: NDArray[np.float32] | None
    grid: Grid
    flags: tuple[str, ...]
    missing: NDArray[np.bool_]
    scaling: Scaling | None = None


def prepare(
    frame: NDArray[Any],
    pixel_size_nm: tuple[float, float] | None,
    card: Card,
    *,
    valid_rows: tuple[int, int] | None = None,
    max_pixels: int = MAX_GRID_PIXELS,
    carried: Scaling | None = None,
) -> Prepared:
    """A frame as the members of `card` want it.

    frame : ndarray, shape (rows, columns), any real dtype and byte order
    pixel_size_nm : (y, x) in nm, None where it is unknown
    valid_rows : rows (first, one past last) that hold data, None for all
    max_pixels : refuse frames that rescaling would make larger than this
    carried : the scaling of the frame before, taken in the place of this frame's own where they are about the same (`CARRIED_SHARE`)

    Raises
    ------
    FrameRefused
        saying what makes the frame unusable.
    """
    rows, columns = frame.shape
    if min(frame.shape) < card.downsample:
        raise FrameRefused("too_small", f"a frame of {rows}x{columns} pixels is smaller than {card.downsample} pixels")
    finite = frame.dtype.kind != "f" or _is_finite(frame)
    missing = _missing_rows(frame, valid_rows, finite)
    if not finite:
        _check_finite(frame, missing)
    grid = _grid(frame.shape, pixel_size_nm, card, max_pixels)
    flags = _flags(frame, missing, pixel_size_nm, grid)
    if missing.all():
        return Prepared(None, grid, ("blank", *flags), missing)
    held = frame[~missing] if missing.any() else frame
    own = fitter(card.normalization.name, card.normalization.parameters)(held)
    normalize = carried if carried is not None and carried.is_near(own, CARRIED_SHARE) else own
    if missing.any():
        image: NDArray[Any] = np.zeros(frame.shape, np.float32)
        image[~missing] = normalize(held)
    else:
        image = normalize(frame)
    if grid.resampled:
        shrinks = grid.shape[0] * grid.shape[1] < rows * columns
        image = cv2.resize(image, grid.shape[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    pad_y, pad_x = -grid.shape[0] % card.downsample, -grid.shape[1] % card.downsample
    if pad_y or pad_x:
        image = cv2.copyMakeBorder(image, 0, pad_y, 0, pad_x, cv2.BORDER_REFLECT_101)
    return Prepared(image[None, None], grid, flags, missing, own)


def _missing_rows(frame: NDArray[Any], valid_rows: tuple[int, int] | None, finite: bool) -> NDArray[np.bool_]:
    """Rows without data: outside `valid_rows`, or constant or not finite throughout, as scans that were cut short leave them."""
    with np.errstate(invalid="ignore"):
        missing: NDArray[np.bool_] = frame.min(axis=1) == frame.max(axis=1)
    if not finite:
        missing |= ~np.isfinite(frame).any(axis=1)
    if valid_rows is not None:
        missing[: valid_rows[0]] = True
        missing[valid_rows[1] :] = True
    return missing


def _check_finite(frame: NDArray[Any], missing: NDArray[np.bool_]) -> None:
    bad = ~np.isfinite(frame) & ~missing[:, None]
    if bad.any():
        y, x = np.argwhere(bad)[0]
        raise FrameRefused("not_finite", f"{int(bad.sum())} of {frame.size} pixels are not finite, the first at row {y}, column {x}")


def _is_finite(frame: NDArray[Any]) -> bool:
    """Whether all pixels are, at the price of one sum; a sum that overflows is looked at more closely."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(frame.sum(dtype=np.float64))) or bool(np.isfinite(frame).all())


def _grid(shape: tuple[int, ...], pixel_size_nm: tuple[float, float] | None, card: Card, max_pixels: int) -> Grid:
    rows, columns = shape
    if pixel_size_nm is None or card.pixel_size_nm is None:
        return Grid((rows, columns), (rows, columns))
    low, high = card.pixel_size_nm
    wanted = [n * size / min(max(size, low), high) for n, size in zip(shape, pixel_size_nm, strict=True)]
    if wanted[0] * wanted[1] > max_pixels or min(wanted) < card.downsample:
        raise FrameRefused(
            "scale_out_of_reach",
            f"pixels of {pixel_size_nm[0]:.4g} x {pixel_size_nm[1]:.4g} nm are too far from the {low:g} to {high:g} nm that the ensemble "
            f"knows: {rows}x{columns} would become {wanted[0]:.0f}x{wanted[1]:.0f}",
        )
    return Grid((rows, columns), (round(wanted[0]), round(wanted[1])))


def _flags(frame: NDArray[Any], missing: NDArray[np.bool_], pixel_size_nm: tuple[float, float] | None, grid: Grid) -> tuple[str, ...]:
    flags = []
    if missing.any() and not missing.all():
        flags.append("rows_missing")
    if _saturated(frame):
        flags.append("saturated")
    if pixel_size_nm is None:
        flags.append("uncalibrated")
    if grid.resampled:
        flags.append("rescaled")
    return tuple(flags)


def _saturated(frame: NDArray[Any]) -> bool:
    """Whether more than one pixel in a thousand sits at the full scale of a detector's digitiser."""
    if frame.dtype.kind not in "iu":
        return False
    top = int(frame.max())
    return top + 1 in {1 << bits for bits in _FULL_SCALE_BITS} and bool(np.count_nonzero(frame == top) > _SATURATED_SHARE * frame.size)
