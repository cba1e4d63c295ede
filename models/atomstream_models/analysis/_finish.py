"""From the members' maps to atoms and maps on the frame's own pixels."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ..bundle import Card
from ..each import Each
from ..locate import Located, empty, located
from ._infer import Inferred
from ._prepare import Grid


@dataclass(frozen=True)
class Answer:
    """What an ensemble says of a frame.

    atoms : ndarray, shape (N, 10), float32, columns of `atomstream_models.locate.COLUMNS`, in pixels of the frame
    mean : ndarray, shape (classes, rows, columns), float32, on the frame's pixels
    std : the same shape; None where it is unknown
    members_used : whose answer this is
    flags : every reason for doubt
    seen : ndarray, shape (members used, N), which of them sees which atom itself
    """

    atoms: NDArray[np.float32]
    mean: NDArray[np.float32]
    std: NDArray[np.float32] | None
    members_used: tuple[str, ...]
    flags: tuple[str, ...]
    seen: NDArray[np.bool_]


def finish(inferred: Inferred, card: Card, each: Each = map) -> Answer:
    """Locate the atoms and bring everything back to the frame's pixels; `each` is how to go through the members."""
    grid, flags = inferred.prepared.grid, inferred.prepared.flags
    if inferred.members_used:
        found = located(inferred.mean, inferred.std, inferred.maps, card.threshold, each)
        found = _drop_on_missing_rows(Located(_to_frame(found.atoms, grid), found.seen), inferred.prepared.missing)
    else:
        found = Located(empty(), np.zeros((0, 0), np.bool_))
    if len(inferred.members_used) == 1:
        flags = (*flags, "single_member")
    std = None if inferred.std is None else _map_to_frame(inferred.std, grid)
    return Answer(found.atoms, _map_to_frame(inferred.mean, grid), std, inferred.members_used, flags, found.seen)


def member_map(inferred: Inferred, member: str) -> NDArray[np.float32]:
    """One member's own map on the frame's pixels, shape (classes, rows, columns); KeyError where it was not used."""
    if member not in inferred.members_used:
        raise KeyError(member)
    return _map_to_frame(inferred.maps[inferred.members_used.index(member)], inferred.prepared.grid)


def _to_frame(atoms: NDArray[np.float32], grid: Grid) -> NDArray[np.float32]:
    if grid.resampled:
        sy, sx = grid.scale
        # Pixel centres are at whole numbers, so the frame's corner lies at -0.5 on both grids.
        atoms[:, 0] = (atoms[:, 0] + 0.5) / sy - 0.5
        atoms[:, 1] = (atoms[:, 1] + 0.5) / sx - 0.5
        atoms[:, 6] /= sy
        atoms[:, 7] /= sx
        atoms[:, 8] /= sy * sx
    return atoms


def _drop_on_missing_rows(found: Located, missing: NDArray[np.bool_]) -> Located:
    if not missing.any():
        return found
    row = np.clip(np.rint(found.atoms[:, 0]), 0, len(missing) - 1).astype(np.int64)
    there = ~missing[row]
    kept = found.atoms[there]
    kept[:, 9] = np.arange(len(kept))
    return Located(kept, found.seen[:, there])


def _map_to_frame(maps: NDArray[np.float32], grid: Grid) -> NDArray[np.float32]:
    if not grid.resampled:
        return maps
    size = grid.frame_shape[::-1]
    return np.stack([cv2.resize(one, size, interpolation=cv2.INTER_LINEAR) for one in maps])
