"""How far tops lie from the edge of what is above threshold."""

from __future__ import annotations

from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..compiled import compiled
from ..each import Each
from ._parts import in_parts

_SHARE = 2048
"""Tops that one processor takes on at a time."""
_LOOKS_PER_PIXEL = 2
"""Where looking outwards from all tops would take more looks than this, measuring every pixel's depth is faster."""
_STRAIGHT, _DIAGONAL, _KNIGHT = 1.0, 1.4, 2.1969
"""OpenCV's lengths of a step to a neighbour, across a corner, and of a knight's move (Borgefors 1986, doi:10.1016/S0734-189X(86)80047-0)."""


def depths(foreground: NDArray[np.float32], threshold: float, tops: NDArray[np.int64], most_px: int, each: Each) -> NDArray[np.float32]:
    """Distance from each top to the nearest pixel that is not above threshold, at most `most_px`.

    Because the top of a flat atom may be found a pixel off its middle, it is the largest distance among the top and its neighbours.
    Beyond the frame's border there is no edge. The distances are those of `cv2.distanceTransform` with a mask of 5.
    """
    dy, dx, lengths = _nearest_first(most_px)
    deepest = np.empty(len(tops), np.int64)
    looks = _LOOKS_PER_PIXEL * foreground.size

    def look(first: int, end: int) -> bool:
        return _look_outwards(foreground, np.float32(threshold), tops, dy, dx, looks * (end - first) // len(tops), first, end, deepest)

    if all(in_parts(look, len(tops), _SHARE, each)):
        found: NDArray[np.float32] = lengths[deepest]
        return found
    mask = (foreground > threshold).view(np.uint8)
    depth = cv2.distanceTransform(cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_REPLICATE), cv2.DIST_L2, 5)
    highest: NDArray[np.float32] = np.minimum(_highest_around(depth, tops), np.float32(most_px))
    return highest


@cache
def _nearest_first(most_px: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Offsets that are nearer than `most_px`, the nearest first, and their lengths with that of none of them as the last."""
    span = np.arange(-most_px, most_px + 1)
    dy, dx = (part.reshape(-1) for part in np.meshgrid(span, span, indexing="ij"))
    short, long = np.sort(np.abs([dy, dx]), axis=0)
    length = np.where(long >= 2 * short, _KNIGHT * short + _STRAIGHT * (long - 2 * short), _KNIGHT * (long - short) + _DIAGONAL * (2 * short - long))
    order = np.argsort(length, kind="stable")[: np.count_nonzero(length < most_px)]
    return dy[order], dx[order], np.append(length[order], most_px).astype(np.float32)


@compiled
def _look_outwards(
    foreground: NDArray[np.float32],
    threshold: np.float32,
    tops: NDArray[np.int64],
    dy: NDArray[np.int64],
    dx: NDArray[np.int64],
    looks: int,
    first: int,
    end: int,
    deepest: NDArray[np.int64],
) -> bool:
    """Number of the offset at which each top has its edge; whether that took no more than a number of looks."""
    columns = foreground.shape[1]
    for k in range(first, end):
        y, x = tops[k] // columns, tops[k] % columns
        best = _edge(foreground, threshold, y, x, dy, dx, 0)
        looks -= best
        for v in range(y - 1, y + 2):
            for u in range(x - 1, x + 2):
                # From most neighbours an edge is nearer, and then it is seen soon from the far end.
                near = min(best, len(dy) - 1)
                while near >= 0 and not _is_edge(foreground, threshold, v + dy[near], u + dx[near]):
                    near -= 1
                looks -= best - near
                if near < 0:
                    further = _edge(foreground, threshold, v, u, dy, dx, best + 1)
                    looks -= further - best
                    best = further
        deepest[k] = best
        if looks < 0:
            return False
    return True


@compiled
def _edge(foreground: NDArray[np.float32], threshold: np.float32, y: int, x: int, dy: NDArray[np.int64], dx: NDArray[np.int64], first: int) -> int:
    """Number of the first offset, from a certain one on, at which there is an edge; that of none where there is no edge."""
    for k in range(first, len(dy)):
        if _is_edge(foreground, threshold, y + dy[k], x + dx[k]):
            return k
    return len(dy)


@compiled
def _is_edge(foreground: NDArray[np.float32], threshold: np.float32, y: int, x: int) -> bool:
    """Whether a pixel is not above threshold. The frame goes on for one pixel beyond its border; further out nothing is known."""
    rows, columns = foreground.shape
    if y < 0 or y >= rows or x < 0 or x >= columns:
        if y < -1 or y > rows or x < -1 or x > columns:
            return False
        y, x = min(max(y, 0), rows - 1), min(max(x, 0), columns - 1)
    return not foreground[y, x] > threshold


def _highest_around(padded: NDArray[Any], pixels: NDArray[np.int64]) -> NDArray[Any]:
    """The highest value at each pixel and its eight neighbours, of an image that is a pixel larger on every side."""
    row, column = np.divmod(pixels, padded.shape[1] - 2)
    corner = row * padded.shape[1] + column
    steps = (np.arange(3)[:, None] * padded.shape[1] + np.arange(3)).reshape(-1)
    highest: NDArray[Any] = padded.reshape(-1)[corner[:, None] + steps].max(axis=1, initial=0.0)
    return highest
