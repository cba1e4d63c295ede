"""All members side by side: figure 2 of the paper."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ._draw import WIDTH_IN, canvas, class_legend, drawn, saved, scale_bar, show_classes, show_image
from ._parts import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FEW = 4
"""A frame with that many members is as wide as a report's picture; more make it wider and their panels no smaller."""
_LARGEST_PX = 640
"""Larger frames and maps are thinned out: no panel shows more."""
_FLATTEST, _TALLEST = 0.4, 2.5
_MARKED = "#e69f00"


@dataclass(frozen=True)
class MembersRow:
    """A frame with its members' own maps.

    image : ndarray, shape (rows, columns)
    maps : member id -> ndarray, shape (classes, rows, columns)
    notes : member id -> a few words on its map, such as its score in this frame
    """

    name: str
    image: NDArray[Any]
    maps: Mapping[str, NDArray[np.floating]]
    notes: Mapping[str, str] = field(default_factory=dict)


@drawn
def members_figure(
    rows: Sequence[MembersRow],
    classes: Sequence[str] = (),
    *,
    names: Mapping[str, str] | None = None,
    marked: Collection[str] = (),
    across: int = _FEW,
    pixel_nm: float | None = None,
    caption: str = "",
) -> Figure:
    """Each member's own map of one frame or several, to the right of the frame; all maps share one scale.

    rows : frames whose maps are of the same members, in the order in which they are to be shown
    names : member id -> what stands above its maps; its id by default
    marked : members that were chosen; they are framed and ticked
    across : members side by side at most; more of them are shared out evenly over several bands
    pixel_nm : pixel size in nm for the scale bar
    """
    members = list(rows[0].maps)
    count = max(1, -(-len(members) // across))
    length = -(-len(members) // count)
    side = WIDTH_IN / (1 + min(length, _FEW))
    ratios = [float(np.clip(row.image.shape[0] / row.image.shape[1], _FLATTEST, _TALLEST)) for row in rows] * count
    drawing = canvas(side * (1 + length), sum(side * ratio + 0.3 for ratio in ratios) + 0.25)
    grid = drawing.subplots(len(ratios), 1 + length, squeeze=False, height_ratios=ratios)
    for line, axes in enumerate(grid):
        band, k = divmod(line, len(rows))
        row, shown = rows[k], members[band * length : (band + 1) * length]
        _show_frame(axes[0], row, pixel_nm)
        for one, member in zip(axes[1:], shown, strict=False):
            _show_map(one, row, member, marked=member in marked)
            if k == 0:
                _title(one, (names or {}).get(member, member), marked=member in marked)
        for one in axes[1 + len(shown) :]:
            one.set_visible(False)
    class_legend(drawing, tuple(classes))
    frames = "frame" if len(rows) == 1 else f"{len(rows)} frames"
    return saved(drawing, "png", caption, f"{frames} and the maps of {len(members)} members")


def _show_frame(axes: Axes, row: MembersRow, pixel_nm: float | None) -> None:
    show_image(axes, _thin(row.image))
    _stretch(axes, row.image)
    scale_bar(axes, (row.image.shape[0], row.image.shape[1]), pixel_nm)
    axes.set_title(row.name)


def _show_map(axes: Axes, row: MembersRow, member: str, *, marked: bool) -> None:
    show_classes(axes, _thin(row.maps[member]))
    _stretch(axes, row.maps[member])
    if note := row.notes.get(member):
        box = {"facecolor": "black", "alpha": 0.6, "pad": 1.5, "linewidth": 0}
        axes.text(0.97, 0.03, note, transform=axes.transAxes, ha="right", va="bottom", fontsize=7, color="white", bbox=box)
    if marked:
        for spine in axes.spines.values():
            spine.set(visible=True, color=_MARKED, linewidth=3)


def _title(axes: Axes, name: str, *, marked: bool) -> None:
    axes.set_title(f"\N{CHECK MARK} {name}" if marked else name, fontweight="bold" if marked else "normal")


def _thin(image: NDArray[Any]) -> NDArray[Any]:
    step = max(1, -(-max(image.shape[-2:]) // _LARGEST_PX))
    return image[..., ::step, ::step]


def _stretch(axes: Axes, image: NDArray[Any]) -> None:
    """Let a picture that was thinned out cover the pixels of the whole one."""
    axes.images[-1].set_extent((-0.5, image.shape[-1] - 0.5, image.shape[-2] - 0.5, -0.5))
