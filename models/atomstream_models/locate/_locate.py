"""Atoms from the maps of an ensemble."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..compiled import plain
from ..each import Each
from ._border import border_of
from ._cells import cells_around
from ._outlines import outlines_of
from ._peaks import find_peaks
from ._votes import votes_of

COLUMNS = ("y", "x", "class", "p", "p_std", "votes", "sigma_y", "sigma_x", "area", "id")


@dataclass(frozen=True)
class Located:
    """Atoms, and which member sees which of them itself.

    atoms : ndarray, shape (N, 10), float32, columns `COLUMNS`
    seen : ndarray, shape (members, N)
    """

    atoms: NDArray[np.float32]
    seen: NDArray[np.bool_]


def empty() -> NDArray[np.float32]:
    """The answer where there are no atoms: shape (0, 10)."""
    return np.empty((0, len(COLUMNS)), np.float32)


def locate(
    mean: NDArray[np.float32],
    std: NDArray[np.float32] | None,
    members: Sequence[NDArray[np.float32]],
    threshold: float,
    each: Each = map,
) -> NDArray[np.float32]:
    """The atoms in an ensemble's mean map, with what each member makes of them.

    An atom is a local maximum of the summed class probabilities above `threshold`; touching atoms share their
    pixels out to the nearest maximum. Its position is the centroid of its pixels above threshold, weighted by how far
    their probability exceeds it; its class is the one with the most probability there. Of an atom that the border cuts, a part is
    not seen: its position is where a whole one, of the size that atoms have in this frame, would have the centroid of what is seen.

    mean : ndarray, shape (classes, rows, columns), mean probability of each atom class
    std : the same shape, or None where it is unknown
    members : the used members' own maps, each of mean's shape
    threshold : foreground probability at which an atom begins
    each : how to go through shares of the work

    Returns
    -------
    ndarray, shape (N, 10), float32, columns `COLUMNS`, in reading order of the maxima: y, x in pixels, inside the frame; p, p_std at
    the centre (p_std NaN where std is None); votes = members that see an atom there themselves; sigma_y, sigma_x =
    standard deviation (ddof 0) of those members' own positions, NaN if fewer than two; area in pixels.
    """
    return located(mean, std, members, threshold, each).atoms


def located(
    mean: NDArray[np.float32],
    std: NDArray[np.float32] | None,
    members: Sequence[NDArray[np.float32]],
    threshold: float,
    each: Each = map,
) -> Located:
    """As `locate`, and which member sees which atom."""
    mean = plain(mean)
    foreground = foreground_of(mean)
    peaks, radius_px = find_peaks(foreground, threshold, each)
    if not len(peaks):
        return Located(empty(), np.zeros((len(members), 0), np.bool_))
    shape = (mean.shape[1], mean.shape[2])
    cells = cells_around(peaks, radius_px, shape, each)
    outlines = outlines_of(foreground, mean, cells, threshold, each)
    border = border_of(outlines, shape)
    y, x = outlines.y, outlines.x
    border.uncut(y[None], x[None])

    atoms = np.empty((len(peaks), len(COLUMNS)), np.float32)
    atoms[:, 0], atoms[:, 1], atoms[:, 2] = y, x, outlines.classes
    at = (outlines.classes, np.rint(y).astype(np.int64), np.rint(x).astype(np.int64))
    atoms[:, 3] = mean[at]
    atoms[:, 4] = np.nan if std is None else std[at]
    atoms[:, 5:8], seen = votes_of(members, cells, threshold, border, each)
    atoms[:, 8] = outlines.area
    atoms[:, 9] = np.arange(len(peaks))
    return Located(atoms, seen)


def foreground_of(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probability of any atom, shape (rows, columns): the sum of the classes in maps (classes, rows, columns), at most 1."""
    total: NDArray[np.float32] = maps[0]
    if len(maps) == 1:
        return total
    total = maps[0] + maps[1]
    for one in maps[2:]:
        total += one
    clipped: NDArray[np.float32] = np.minimum(total, np.float32(1), out=total)
    return clipped
