"""What is really there in a frame."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..neighbours import nearest_px
from ..simulation import MicroscopeFrame, labelled

MATCH = 0.35
"""How far a found atom may lie from a true one, as a share of the distance between nearest neighbours."""


@dataclass(frozen=True)
class Truth:
    """The true atoms of one frame.

    atoms_yx : ndarray, shape (N, 2), true centres in pixels of the frame; those just outside it may be included
    required : ndarray, shape (N,), which atoms a finder must find; the others (outside the frame, unlabelled) neither
        count when missed nor make what is found there wrong
    match_px : how far from a true atom a found one may lie, in pixels
    kinds : ndarray, shape (N,), class index of each atom, -1 where no class is known; None where no atom's is
    pixel_nm : pixel size in nm, None where it is unknown
    """

    atoms_yx: NDArray[np.float64]
    required: NDArray[np.bool_]
    match_px: float
    kinds: NDArray[np.int64] | None = None
    pixel_nm: float | None = None


def truth_of(frame: MicroscopeFrame, match: float = MATCH) -> Truth:
    """The truth of a simulated frame; `match` is the matching radius as a share of the nearest-neighbour distance."""
    return Truth(frame.atoms_yx, labelled(frame), match * frame.neighbour_px, frame.kinds, frame.pixel_nm)


def inside(atoms_yx: NDArray[np.floating], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Which positions lie on a pixel of a frame of `shape` (rows, columns)."""
    within: NDArray[np.bool_] = np.all((atoms_yx >= -0.5) & (atoms_yx < np.array(shape) - 0.5), axis=1)
    return within


def matching_radius_px(frames: Iterable[NDArray[np.floating]], match: float = MATCH) -> float:
    """`match` times the median nearest-neighbour distance of the atoms (N, 2+; y, x first) of all frames, in pixels.

    Raises
    ------
    InputError
        where no frame has two atoms, so that there is no such distance.
    """
    distances = [nearest_px(atoms) for atoms in frames]
    pooled = np.concatenate(distances) if distances else np.empty(0)
    if not len(pooled):
        raise InputError("no frame has two atoms or more, so no matching radius follows from their distance: give one in pixels")
    return float(match * np.median(pooled))
