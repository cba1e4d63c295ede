"""A frame as a page shows it: layers as small pictures of a region, and its atoms."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from atomstream_models.brightness import default_radius_px, intensities
from atomstream_models.locate import foreground_of
from atomstream_models.shades import fitted, levels, shaded
from atomstream_wire import FrameReport

from ..orders import View
from ..transport import Reply

_STD_TOP = 0.5
"""No standard deviation of numbers between 0 and 1 is larger."""

_MOST_MEASURED = 1500
"""Atoms whose brightness is measured for a picture of how it is distributed; it takes some 50 ms."""

LayerOf = Callable[[str], NDArray[Any] | None]
"""A layer's array by its name, None where the frame has none: frame (rows, columns); mean, std, member:ID (classes, rows, columns)."""


@dataclass(frozen=True)
class Shown:
    """What there is of a frame.

    seen : member -> which of the atoms it sees itself, shape (atoms,)
    again : whether this is how it would be answered now, not how it was
    no_maps : why there are no maps, where some were wanted
    """

    report: FrameReport
    atoms: NDArray[np.float32]
    layer_of: LayerOf
    seen: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    again: bool = False
    no_maps: str | None = None


class Picture(BaseModel):
    """One picture that follows, as bytes.

    use : whether it was asked for as a layer or as a thumb
    low, high : what 0 and 255 stand for, counts or probability
    """

    name: str
    use: Literal["layer", "thumb"]
    shape: tuple[int, int]
    low: float
    high: float


def viewed(view: View, shown: Shown) -> Reply:
    """A frame's pictures and atoms; layers that it does not have are left out.

    The reply's body has `report`, `atoms` (their number), `region` (as it was cut to the frame), `layers` (asked for), `pictures`, `votes` (member ->
    how many of the atoms it sees), `again`, `no_maps` and `extras`; its buffers are the atoms, float32 (N, 10), then the pictures, a byte a pixel, then
    what `extras` names: `seen`, who sees what, a byte each, (members of `votes`, N), and `brightness`, float32 (N,).
    """
    region = _within(view.region, shown.report.shape)
    top, left, bottom, right = region
    described: list[dict[str, Any]] = []
    buffers: list[NDArray[Any]] = [np.ascontiguousarray(shown.atoms)]

    def add(use: Literal["layer", "thumb"], names: Sequence[str], longest_px: int) -> None:
        for name in names:
            if (array := shown.layer_of(name)) is None:
                continue
            flat, low, high = _flat(name, array)
            part = flat[top:bottom, left:right] if use == "layer" else flat
            picture = np.ascontiguousarray(fitted(shaded(part, low, high), longest_px))
            described.append(Picture(name=name, use=use, shape=(picture.shape[0], picture.shape[1]), low=low, high=high).model_dump())
            buffers.append(picture)

    add("layer", view.layers, view.longest_px)
    add("thumb", view.thumbs, view.thumb_px)
    extras: dict[str, NDArray[Any]] = {}
    if view.seen:
        extras["seen"] = np.array([*shown.seen.values()], np.uint8)
    if view.brightness:
        extras["brightness"] = _brightness(shown, region)
    body = {
        "report": shown.report.as_json(),
        "atoms": len(shown.atoms),
        "region": region,
        "layers": view.layers,
        "pictures": described,
        "votes": {member: int(saw.sum()) for member, saw in shown.seen.items()},
        "again": shown.again,
        "no_maps": shown.no_maps,
        "extras": list(extras),
    }
    return Reply(body, [*buffers, *extras.values()])


def _brightness(shown: Shown, region: tuple[int, int, int, int]) -> NDArray[np.float32]:
    """Counts of the region's atoms above the ring around each, shape (N,); NaN for others, and where there are more than are measured at a time."""
    values = np.full(len(shown.atoms), np.nan, np.float32)
    image = shown.layer_of("frame")
    y, x = shown.atoms[:, 0], shown.atoms[:, 1]
    top, left, bottom, right = region
    inside = np.flatnonzero((y >= top - 0.5) & (y < bottom - 0.5) & (x >= left - 0.5) & (x < right - 0.5))
    inside = inside[:: math.ceil(len(inside) / _MOST_MEASURED) or 1]
    if image is not None and len(inside):
        radius_px = default_radius_px(shown.atoms)
        values[inside] = intensities(np.nan_to_num(image), shown.atoms[inside], radius_px, normalise=False)
    return values


def _flat(name: str, array: NDArray[Any]) -> tuple[NDArray[Any], float, float]:
    """An image (rows, columns), and its black and white."""
    if name == "frame":
        return (array, *levels(array))
    return foreground_of(array), 0.0, _STD_TOP if name == "std" else 1.0


def _within(region: tuple[int, int, int, int] | None, shape: tuple[int, int]) -> tuple[int, int, int, int]:
    rows, columns = shape
    if region is None:
        return 0, 0, rows, columns
    top, left = (min(max(first, 0), size - 1) for first, size in zip(region[:2], shape, strict=True))
    bottom, right = (min(max(end, first + 1), size) for end, first, size in zip(region[2:], (top, left), shape, strict=True))
    return top, left, bottom, right
