"""Whether an atom continues the lattice around it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..neighbours import neighbour_px

_REACH = 3.2
"""Translations are looked for up to this many nearest-neighbour distances."""
_TOLERANCE = 0.25
"""How exactly a translation must hit, in nearest-neighbour distances."""
_BIN = 0.125
_COMMON = 0.6
"""A translation of the lattice takes at least this share of the atoms to another one; a step between two sites of a cell takes half."""
_SUPPORT = 2


def lattice_translations(yx: NDArray[np.floating]) -> NDArray[np.float64]:
    """Steps (y, x) in pixels that take most atoms to another one, shape (K, 2), each with its opposite; (0, 2) where there are none.

    yx : ndarray, shape (N, 2), positions in pixels
    """
    none = np.empty((0, 2))
    if len(yx) < 8:
        return none
    points = np.asarray(yx, np.float64)
    tree = cKDTree(points)
    gap = neighbour_px(points)
    pairs = tree.query_pairs(_REACH * gap, output_type="ndarray")
    if not gap or not len(pairs):
        return none
    steps = points[pairs[:, 1]] - points[pairs[:, 0]]
    steps = np.concatenate([steps, -steps])
    size = 2 * int(np.ceil(_REACH / _BIN)) + 3
    cell = np.rint(steps / (_BIN * gap)).astype(np.int64) + size // 2
    histogram = np.bincount(cell[:, 0] * size + cell[:, 1], minlength=size * size).reshape(size, size).astype(np.float32)
    smooth = cv2.GaussianBlur(histogram, (0, 0), 1.0)
    window = 2 * round(_TOLERANCE / _BIN) + 1
    tops = np.argwhere((smooth >= cv2.dilate(smooth, np.ones((window, window), np.uint8))) & (smooth > 0))
    rough = (tops - size // 2) * _BIN * gap
    rough = rough[np.linalg.norm(rough, axis=1) > 0.5 * gap]
    if not len(rough):
        return none
    near = cKDTree(steps).query_ball_point(rough, _TOLERANCE * gap)
    exact = np.array([steps[one].mean(axis=0) for one in near if one])
    common = np.array([_share(points, tree, step, _TOLERANCE * gap) >= _COMMON for step in exact], bool)
    return np.asarray(exact[common])


def on_lattice(
    yx: NDArray[np.floating], lattice_yx: NDArray[np.floating], *, support: int = _SUPPORT, steps: NDArray[np.float64] | None = None
) -> NDArray[np.bool_]:
    """Which points continue a lattice: at least `support` of the lattice's shortest translations lead from the point to one of its atoms.

    Substitutional impurities and atoms at a hole's edge do; of the atoms in amorphous matter a few do by chance,
    next to the lattice. False everywhere where `lattice_yx` has no translations.

    yx : ndarray, shape (N, 2), points in pixels
    lattice_yx : ndarray, shape (M, 2), atoms that are known to be lattice
    steps : their `lattice_translations`, if they are known already
    """
    steps = lattice_translations(lattice_yx) if steps is None else steps
    if not len(yx) or not len(steps):
        return np.zeros(len(yx), bool)
    tree = cKDTree(lattice_yx)
    gap = neighbour_px(lattice_yx)
    length = np.linalg.norm(steps, axis=1)
    shortest = steps[length <= 1.5 * length.min()]
    away, _ = tree.query((np.asarray(yx, np.float64)[:, None] + shortest[None]).reshape(-1, 2), distance_upper_bound=_TOLERANCE * gap)
    hits = np.isfinite(np.asarray(away)).reshape(len(yx), len(shortest)).sum(axis=1)
    enough: NDArray[np.bool_] = hits >= support
    return enough


def _share(points: NDArray[np.float64], tree: cKDTree, step: NDArray[np.float64], tolerance_px: float) -> float:
    """Share of the atoms, of those that a step keeps inside their bounding box, that it takes to another atom."""
    moved = points + step
    inside = moved[np.all((moved >= points.min(axis=0)) & (moved <= points.max(axis=0)), axis=1)]
    if not len(inside):
        return 0.0
    away, _ = tree.query(inside, distance_upper_bound=tolerance_px)
    return float(np.mean(np.isfinite(np.asarray(away))))
