"""Artifacts in one member's answer to one frame, each as a number from 0 (none) to 1, without any label."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from ..cleaning import on_lattice
from ..evaluation import MATCH
from ..neighbours import mutual_f1, nearest_px
from ._lattice import Consensus

_FAINT = 0.05
"""Probability that every network has everywhere, and that means nothing."""
_DISC = 1.6
"""Discs around atoms reach this many typical radii: the rim of an atom is never fog."""
_NO_CONTRAST = 1.0
_SIZE_FACTOR = 1.8
_ELONGATED = 1.7
_SPACING = 0.25


def fog(foreground: NDArray[np.float32], yx: NDArray[np.float64], radius_px: float) -> float:
    """Share of the probability that lies outside compact blobs: beyond 1.6 typical radii of any atom found (the paper's foggy lattice).

    foreground : ndarray, shape (rows, columns), probability of any atom
    """
    mass = np.maximum(foreground - np.float32(_FAINT), 0)
    total = float(mass.sum(dtype=np.float64))
    if total <= 0:
        return 0.0
    away = np.ones(foreground.shape, np.uint8)
    rows, columns = foreground.shape
    y, x = np.clip(np.rint(yx).astype(np.int64), 0, (rows - 1, columns - 1)).T
    away[y, x] = 0
    if away.all():
        return 1.0
    far = cv2.distanceTransform(away, cv2.DIST_L2, 5) > _DISC * radius_px
    return float(mass[far].sum(dtype=np.float64)) / total


def vacuum(strength: NDArray[np.float32], yx: NDArray[np.float64]) -> float:
    """Share of the atoms where the frame shows no blob: a response less than one standard deviation of noise above none.

    strength : ndarray, shape (rows, columns) of the frame, blob response in units of its noise
    yx : positions on the frame
    """
    if not len(yx):
        return 0.0
    rows, columns = strength.shape
    y, x = np.clip(np.rint(yx).astype(np.int64), 0, (rows - 1, columns - 1)).T
    # An atom may lie a pixel or two beside the response's top.
    near = cv2.dilate(strength, np.ones((3, 3), np.uint8))
    return float(np.mean(near[y, x] < _NO_CONTRAST))


def off_lattice(yx: NDArray[np.float64], lattice: Consensus) -> float:
    """Share of the atoms that don't continue the lattice of the consensus: in amorphous matter, in holes, between sites. NaN without a lattice."""
    if not lattice.periodic:
        return float("nan")
    return float(np.mean(~on_lattice(yx, lattice.yx, steps=lattice.steps))) if len(yx) else 0.0


def shape(foreground: NDArray[np.float32], threshold: float) -> float:
    """Share of the blobs that are no discs of common size: 1.8 times larger or smaller than the median, or 1.7 times as long as wide.

    Blobs that the frame's edge cuts don't count.
    """
    mask = (foreground > threshold).view(np.uint8)
    count, label, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    rows, columns = mask.shape
    whole = (stats[:, 0] > 0) & (stats[:, 1] > 0) & (stats[:, 0] + stats[:, 2] < columns) & (stats[:, 1] + stats[:, 3] < rows)
    whole[0] = False
    if not whole.any():
        return 0.0 if count == 1 else 1.0
    area = stats[:, cv2.CC_STAT_AREA].astype(np.float64)
    typical = float(np.median(area[whole]))
    odd = (area > _SIZE_FACTOR * typical) | (area < typical / _SIZE_FACTOR) | (_elongation(np.asarray(label, np.int32), count) > _ELONGATED)
    return float(np.mean(odd[whole]))


def _elongation(label: NDArray[np.int32], count: int) -> NDArray[np.float64]:
    """Length over width of each labelled region, by its second moments."""
    y, x = np.nonzero(label)
    which = label[y, x]
    n = np.maximum(np.bincount(which, minlength=count), 1)

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.bincount(which, values, minlength=count) / n)

    dy, dx = y - mean(y.astype(np.float64))[which], x - mean(x.astype(np.float64))[which]
    # A pixel is a square of its own: 1/12 keeps tiny regions round.
    yy, xx, yx = mean(dy**2) + 1 / 12, mean(dx**2) + 1 / 12, mean(dy * dx)
    half, spread = (yy + xx) / 2, np.hypot((yy - xx) / 2, yx)
    return np.asarray(np.sqrt((half + spread) / np.maximum(half - spread, 1 / 24)))


def spacing(yx: NDArray[np.float64], expected_px: float) -> float:
    """Share of the atoms whose nearest neighbour is not where a lattice has it: a quarter nearer or further, or nowhere. NaN without an expectation."""
    if not np.isfinite(expected_px):
        return float("nan")
    if len(yx) < 2:
        return float(len(yx))  # a lone atom's neighbour is nowhere
    return float(np.mean(np.abs(nearest_px(yx) / expected_px - 1) > _SPACING))


def disagreement(mine: NDArray[np.float64], others: Sequence[NDArray[np.float64]], neighbour_px: float) -> float:
    """Median over the other members of 1 - F1 between their atoms and this one's; NaN without others."""
    if not others:
        return float("nan")
    radius = MATCH * neighbour_px if np.isfinite(neighbour_px) else 3.0
    return float(np.median([1 - mutual_f1(mine, other, radius) for other in others]))


def detection(found: int, usual: float) -> float:
    """How far the number of atoms is from what members usually find: 1 - the smaller over the larger number."""
    larger = max(float(found), usual)
    return 1 - min(float(found), usual) / larger if larger > 0 else 0.0
