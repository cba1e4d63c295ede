"""The paper's pictures: figures 3 to 5 of ELIT (Ghosh et al., npj Comput. Mater. 7, 100, 2021) for any frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from ._draw import SPREAD, WIDTH_IN, bare, canvas, class_legend, drawn, saved, scale_bar, show_classes, show_image
from ._parts import Figure

_MISSED, _EXTRA = "#f0e442", "#ff5a3c"


@dataclass(frozen=True)
class Stage:
    """One ensemble's answer to a frame.

    maps : ndarray, shape (classes, rows, columns), mean probabilities
    note : below its name, such as a score
    missed_yx, extra_yx : ndarrays, shape (N, 2), atoms that it missed and that it made up, None where no truth is known
    kinds : which of the figure's classes the maps are of; all of them, in order, by default
    """

    name: str
    maps: NDArray[np.floating]
    note: str = ""
    missed_yx: NDArray[np.floating] | None = None
    extra_yx: NDArray[np.floating] | None = None
    kinds: Sequence[int] = ()


@dataclass(frozen=True)
class StageRow:
    """A frame (rows, columns) with the answers of several ensembles to it."""

    name: str
    image: NDArray[Any]
    stages: Sequence[Stage]


@dataclass(frozen=True)
class Region:
    """A part of a frame (rows, columns) with mean and std (classes, rows, columns) there."""

    name: str
    image: NDArray[Any]
    mean: NDArray[np.floating]
    std: NDArray[np.floating]


@drawn
def stages_figure(rows: Sequence[StageRow], classes: Sequence[str], *, pixel_nm: float | None = None, caption: str = "") -> Figure:
    """Frames beside the mean maps of one ensemble or several, as in figures 3 and 5 of the paper; errors marked where they are known.

    rows : frames with the same number of stages each
    """
    across = 1 + len(rows[0].stages)
    side = min(WIDTH_IN / across, 4.2)
    ratios = [row.image.shape[0] / row.image.shape[1] for row in rows]
    drawing = canvas(side * across, sum(side * ratio + 0.3 for ratio in ratios) + 0.25)
    grid = drawing.subplots(len(rows), across, squeeze=False, height_ratios=ratios)
    marks = False
    for axes, row in zip(grid, rows, strict=True):
        show_image(axes[0], row.image)
        scale_bar(axes[0], (row.image.shape[0], row.image.shape[1]), pixel_nm)
        axes[0].set_title(row.name)
        for one, stage in zip(axes[1:], row.stages, strict=True):
            show_classes(one, stage.maps, stage.kinds if len(classes) > 1 else ())
            one.set_title(f"{stage.name}  {stage.note}".rstrip())
            for at, marker, colour, size in ((stage.missed_yx, "o", _MISSED, 7), (stage.extra_yx, "x", _EXTRA, 6)):
                if at is not None and len(at):
                    one.plot(at[:, 1], at[:, 0], marker, color=colour, markerfacecolor="none", markersize=size, markeredgewidth=1.4)
                    marks = True
            one.set_xlim(-0.5, row.image.shape[1] - 0.5)
            one.set_ylim(row.image.shape[0] - 0.5, -0.5)
    class_legend(drawing, tuple(classes), (("missed", "o", _MISSED), ("not there", "x", _EXTRA)) if marks else ())
    return saved(drawing, "png", caption, "frames and mean maps")


@drawn
def regions_figure(regions: Sequence[Region], classes: Sequence[str], *, pixel_nm: float | None = None, caption: str = "") -> Figure:
    """Image, mean and std of each class of a few regions, as in figure 4 of the paper; all std maps share one scale."""
    across = 2 + len(classes)
    side = min(WIDTH_IN / across, 3.2)
    drawing = canvas(side * across + 0.6, len(regions) * (side + 0.3) + 0.25)
    grid = drawing.subplots(len(regions), across, squeeze=False)
    top = max([0.01, *(float(np.percentile(one.std, 99.9)) for one in regions)])
    for axes, region in zip(grid, regions, strict=True):
        show_image(axes[0], region.image)
        scale_bar(axes[0], (region.image.shape[0], region.image.shape[1]), pixel_nm)
        axes[0].set_title(region.name)
        show_classes(axes[1], region.mean)
        axes[1].set_title("mean")
        for one, name, std in zip(axes[2:], classes, region.std, strict=True):
            shown = one.imshow(std, cmap=SPREAD, vmin=0, vmax=top)
            bare(one)
            one.set_title(f"std, {name}")
    drawing.colorbar(shown, ax=grid[:, 2:].reshape(-1).tolist(), shrink=0.7, aspect=30, label="standard deviation over members")
    class_legend(drawing, tuple(classes))
    return saved(drawing, "png", caption, "regions with mean and standard deviation")


def uncertain_window(std: NDArray[np.floating], side_px: int) -> tuple[slice, slice]:
    """Rows and columns of the square window (cut to the frame) with the largest summed std.

    std : ndarray, shape (classes, rows, columns)
    """
    total = std.sum(axis=0)
    rows, columns = (min(side_px, n) for n in total.shape)
    # A window of n pixels centred on pixel c begins at c - n // 2.
    inside = uniform_filter(total.astype(np.float64), (rows, columns), mode="constant")
    inside = inside[rows // 2 : rows // 2 + total.shape[0] - rows + 1, columns // 2 : columns // 2 + total.shape[1] - columns + 1]
    y, x = np.unravel_index(np.argmax(inside), inside.shape)
    return slice(int(y), int(y) + rows), slice(int(x), int(x) + columns)
