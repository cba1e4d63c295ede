"""Drawing with matplotlib's Agg, without its global state."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import ExtraMissing
from ._parts import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

P = ParamSpec("P")
R = TypeVar("R")

COLOURS = ("#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#f0e442", "#d55e00", "#0072b2")
"""Colours that the colour-blind tell apart (Okabe and Ito 2008), for classes on black."""
BEFORE, AFTER, OTHER = "#d55e00", "#0072b2", "#6f7680"
"""The same on white: before refinement, after it, everything else."""
PROBABILITY, SPREAD = "cividis", "magma"
"""Perceptually uniform colour maps, for one class's probability and for a standard deviation."""
WIDTH_IN = 10.0
"""Width of a picture that fills a report's page."""

_STYLE = {
    "font.size": 9.0,
    "font.family": "DejaVu Sans",
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e3e7eb",
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "axes.edgecolor": "#5b6470",
    "xtick.color": "#5b6470",
    "ytick.color": "#5b6470",
    "legend.frameon": False,
    "svg.hashsalt": "atomstream",
}
_DPI = 128


def drawn(function: Callable[P, R]) -> Callable[P, R]:
    """Call a function that draws in the style of our reports.

    Raises
    ------
    ExtraMissing
        where matplotlib is not installed.
    """

    @wraps(function)
    def in_style(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            from matplotlib import style  # noqa: PLC0415
        except ImportError as error:
            raise ExtraMissing("matplotlib", "train") from error
        with style.context(["default", _STYLE]):
            return function(*args, **kwargs)

    return in_style


def canvas(width_in: float, height_in: float) -> Canvas:
    """An empty drawing of a size in inches."""
    from matplotlib.figure import Figure as Canvas  # noqa: PLC0415

    return Canvas(figsize=(width_in, height_in), dpi=_DPI, layout="constrained")


def saved(drawing: Canvas, kind: Literal["png", "svg"], caption: str, alt: str) -> Figure:
    """A drawing as a figure of a report, the same bytes for the same drawing."""
    out = io.BytesIO()
    drawing.savefig(out, format=kind, metadata={"Date": None} if kind == "svg" else {"Software": None})
    return Figure(out.getvalue(), kind, caption, alt)


def show_image(axes: Axes, image: NDArray[Any]) -> None:
    """A frame in grey, from its 0.5th to its 99.8th percentile; missing values black."""
    finite = image[np.isfinite(image)]
    low, high = np.percentile(finite, (0.5, 99.8)) if finite.size else (0.0, 1.0)
    axes.imshow(np.nan_to_num(image, nan=low, posinf=high, neginf=low), cmap="gray", vmin=low, vmax=high if high > low else low + 1)
    bare(axes)


def show_classes(axes: Axes, maps: NDArray[np.floating], kinds: Sequence[int] = ()) -> None:
    """Class probabilities (classes, rows, columns): one class from dark to bright, more of them as light of their own colours on black.

    kinds : whose colours the maps have where they are shown beside maps of other classes, so that a single one is light of its colour, too
    """
    if len(maps) == 1 and not kinds:
        axes.imshow(maps[0], cmap=PROBABILITY, vmin=0, vmax=1)
    else:
        axes.imshow(in_colours(maps, kinds))
    bare(axes)


def in_colours(maps: NDArray[np.floating], kinds: Sequence[int] = ()) -> NDArray[np.float64]:
    """Class probabilities (classes, rows, columns) as a picture (rows, columns, 3) of values from 0 to 1."""
    colours = np.array([[int(colour_of(k)[at : at + 2], 16) / 255 for at in (1, 3, 5)] for k in kinds or range(len(maps))])
    picture: NDArray[np.float64] = np.einsum("crx,ck->rxk", maps.astype(np.float64), colours)
    return np.clip(picture, 0, 1)


def colour_of(kind: int) -> str:
    """The colour of a class on black."""
    return COLOURS[kind % len(COLOURS)]


def bare(axes: Axes) -> None:
    """A picture's axes: no ticks, no grid, no frame."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def scale_bar(axes: Axes, shape: tuple[int, int], pixel_nm: float | None) -> None:
    """A bar of a round length in nm near a quarter of the picture's width; in pixels where the pixel size is unknown."""
    unit = 1.0 if pixel_nm is None else pixel_nm
    wanted = 0.25 * shape[1] * unit
    power = 10.0 ** np.floor(np.log10(wanted))
    length = max(step * power for step in (1, 2, 5) if step * power <= wanted)
    label = f"{length:g} {'px' if pixel_nm is None else 'nm'}"
    wide, y, x = length / unit, 0.955 * shape[0], 0.035 * shape[1]
    outline = _outline()
    axes.plot([x, x + wide], [y, y], color="white", linewidth=2.5, solid_capstyle="butt", path_effects=outline)
    axes.text(x, y - 0.02 * shape[0], label, color="white", ha="left", va="bottom", fontsize=8, path_effects=outline)
    axes.set_xlim(-0.5, shape[1] - 0.5)
    axes.set_ylim(shape[0] - 0.5, -0.5)


def class_legend(drawing: Canvas, classes: tuple[str, ...], marks: tuple[tuple[str, str, str], ...] = ()) -> None:
    """A legend above a drawing: the classes' colours, and marks of (name, marker, colour)."""
    from matplotlib.lines import Line2D  # noqa: PLC0415

    handles = [Line2D([], [], linestyle="", marker="o", color=colour_of(k), label=name) for k, name in enumerate(classes) if len(classes) > 1]
    handles += [
        Line2D([], [], linestyle="", marker=marker, color=colour, markerfacecolor="none", markeredgewidth=1.4, label=name) for name, marker, colour in marks
    ]
    if handles:
        drawing.legend(handles=handles, loc="outside upper right", ncols=len(handles), handletextpad=0.1, columnspacing=1.2)


def _outline() -> list[Any]:
    from matplotlib.patheffects import withStroke  # noqa: PLC0415

    return [withStroke(linewidth=2.2, foreground="black")]
