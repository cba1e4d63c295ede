"""Atoms from the maps of an ensemble."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..each import Each
from ._border import Border, border_of
from ._cells import Cells, cells_around
from ._peaks import find_peaks

COLUMNS = ("y", "x", "class", "p", "p_std", "votes", "sigma_y", "sigma_x", "area", "id")


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
    each : how to go through the members

    Returns
    -------
    ndarray, shape (N, 10), float32, columns `COLUMNS`, in reading order of the maxima: y, x in pixels, inside the frame; p, p_std at
    the centre (p_std NaN where std is None); votes = members that see an atom there themselves; sigma_y, sigma_x =
    standard deviation (ddof 0) of those members' own positions, NaN if fewer than two; area in pixels.
    """
    foreground = _foreground(mean)
    peaks, radius_px = find_peaks(foreground, threshold)
    if not len(peaks):
        return empty()
    cells = cells_around(peaks, radius_px, (mean.shape[1], mean.shape[2]))
    values = cells.total(foreground[None])
    inside = values > threshold
    weights = _excess(values, threshold)
    border = border_of(cells, weights, (mean.shape[1], mean.shape[2]))
    y, x = border.uncut(*cells.centroids(weights))
    classes = _classes(mean, cells, inside)

    atoms = np.empty((len(peaks), len(COLUMNS)), np.float32)
    atoms[:, 0], atoms[:, 1], atoms[:, 2] = y, x, classes
    at = (classes, np.rint(y).astype(np.int64), np.rint(x).astype(np.int64))
    atoms[:, 3] = mean[at]
    atoms[:, 4] = np.nan if std is None else std[at]
    atoms[:, 5:8] = _votes(members, cells, threshold, border, each)
    atoms[:, 8] = cells.sums(inside.astype(np.float32))
    atoms[:, 9] = np.arange(len(peaks))
    return atoms


def _excess(values: NDArray[np.float32], threshold: float) -> NDArray[np.float32]:
    """Probability above threshold: as a weight it fades out at an atom's edge, so that no pixel enters with a jump."""
    excess: NDArray[np.float32] = np.maximum(values - np.float32(threshold), np.float32(0))
    return excess


def _foreground(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    if maps.shape[0] == 1:
        return np.ascontiguousarray(maps[0])
    total: NDArray[np.float32] = maps[0] + maps[1]
    for one in maps[2:]:
        total += one
    return np.minimum(total, np.float32(1), out=total)


def _classes(mean: NDArray[np.float32], cells: Cells, inside: NDArray[np.bool_]) -> NDArray[np.int64]:
    if mean.shape[0] == 1:
        return np.zeros(len(cells.tops_y), np.int64)
    likeliest: NDArray[np.int64] = np.argmax([cells.sums(cells.total(one[None]) * inside) for one in mean], axis=0)
    return likeliest


def _votes(members: Sequence[NDArray[np.float32]], cells: Cells, threshold: float, border: Border, each: Each) -> NDArray[np.float32]:
    """Columns votes, sigma_y, sigma_x, shape (atoms, 3).

    A member sees an atom where its own map rises above threshold near the mean's maximum and not higher further out.
    """

    def look(maps: NDArray[np.float32]) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]]:
        own = cells.total(maps)
        near, beyond = cells.maxima(own)
        return (near > threshold) & (near >= beyond), *border.uncut(*cells.centroids(_excess(own, threshold)))

    atoms = len(cells.tops_y)
    looks = list(each(look, members))
    seen = np.array([one[0] for one in looks], bool).reshape(-1, atoms)
    votes = seen.sum(axis=0)
    out = np.empty((atoms, 3), np.float32)
    out[:, 0] = votes
    for column, positions in ((1, [one[1] for one in looks]), (2, [one[2] for one in looks])):
        out[:, column] = _spread(np.array(positions, np.float64).reshape(-1, atoms), seen, votes)
    return out


def _spread(values: NDArray[np.float64], seen: NDArray[np.bool_], votes: NDArray[np.int64]) -> NDArray[np.float64]:
    values = np.where(seen, values, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        centre = values.sum(axis=0) / votes
        variance = (np.where(seen, values - centre, 0.0) ** 2).sum(axis=0) / votes
    return np.where(votes >= 2, np.sqrt(variance), np.nan)
