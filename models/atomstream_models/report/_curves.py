"""Curves and tables of numbers as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..evaluation import Convergence, Reliability
from ._draw import canvas, drawn, saved
from ._parts import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH_IN = 8.0
_MANY_MEMBERS = 12


@dataclass(frozen=True)
class Line:
    """A curve's name, colour and points (frame number -> value)."""

    name: str
    colour: str
    points: Mapping[int, float]


@drawn
def frames_figure(lines: Sequence[Line], label: str, *, caption: str = "", top: float | None = None) -> Figure:
    """A figure of merit over the frames, such as F1 before and after.

    top : upper end of its scale, where there is one
    """
    drawing = canvas(_WIDTH_IN, 3.2)
    axes = drawing.subplots()
    most = max(len(line.points) for line in lines)
    for line in lines:
        frames = sorted(line.points)
        axes.plot(frames, [line.points[k] for k in frames], color=line.colour, marker="o", markersize=5 if most <= 40 else 2.5, label=line.name)
    axes.set_xlabel("frame")
    axes.set_ylabel(label)
    axes.locator_params(axis="x", integer=True)
    if top is not None:
        lowest = min((value for line in lines for value in line.points.values() if np.isfinite(value)), default=0.0)
        axes.set_ylim(max(0.0, lowest - 0.12 * (top - lowest) - 0.005), top + 0.06 * (top - lowest) + 0.002)
    if len(lines) > 1:
        axes.legend()
    return saved(drawing, "svg", caption, f"{label} over the frames")


@drawn
def convergence_figure(parts: Mapping[str, tuple[Convergence, str]], *, least: float = 0.9, caption: str = "") -> Figure:
    """How fast the std map settles with the number of members.

    parts : name -> (convergence, colour)
    least : correlation that counts as enough
    """
    drawing = canvas(_WIDTH_IN, 3.2)
    axes = drawing.subplots()
    for name, (one, colour) in parts.items():
        axes.fill_between(one.members, one.correlation - one.spread, np.minimum(one.correlation + one.spread, 1), color=colour, alpha=0.18, linewidth=0)
        axes.plot(one.members, one.correlation, color=colour, marker="o", label=f"{name}: with all members")
        if np.isfinite(one.apart).any():
            axes.plot(one.members, one.apart, color=colour, marker="s", markersize=4, linestyle="--", label=f"{name}: between sets that share none")
    axes.axhline(least, color="#1c1f23", linewidth=0.8, linestyle=":")
    axes.set_xlabel("members")
    axes.set_ylabel("correlation of std maps")
    axes.set_ylim(top=1.02)
    axes.locator_params(axis="x", integer=True)
    axes.legend(loc="lower right")
    return saved(drawing, "svg", caption, "correlation of std maps over the number of members")


@drawn
def calibration_figure(parts: Mapping[str, tuple[Reliability, Reliability, str]], *, caption: str = "") -> Figure:
    """Left: share of wrong pixels over their std. Right: share of found atoms that are there over their probability.

    parts : name -> (error by std, atoms, colour)
    """
    drawing = canvas(_WIDTH_IN, 3.4)
    left, right = drawing.subplots(1, 2)
    for name, (error, atoms, colour) in parts.items():
        _points(left, error, colour, name)
        _points(right, atoms, colour, name)
    left.set_xlabel("std of a pixel")
    left.set_ylabel("share of pixels that are wrong")
    left.set_ylim(bottom=0)
    left.set_xlim(left=0)
    right.plot([0, 1], [0, 1], color="#1c1f23", linewidth=0.8, linestyle=":")
    right.set_xlabel("probability of a found atom")
    right.set_ylabel("share that is there")
    right.set_xlim(0, 1)
    right.set_ylim(0, 1.02)
    if len(parts) > 1:
        left.legend()
    return saved(drawing, "svg", caption, "error over std, and observed over predicted frequency")


@drawn
def agreement_figure(parts: Mapping[str, tuple[Sequence[str], NDArray[np.floating]]], *, caption: str = "") -> Figure:
    """F1 of each member's atoms against each other member's.

    parts : name -> (member ids, table (n, n))
    """
    drawing = canvas(min(_WIDTH_IN, 4.6 * len(parts) + 0.4), 4.0)
    grid = drawing.subplots(1, len(parts), squeeze=False)[0]
    low = min(float(table.min()) for _, table in parts.values())
    for axes, (name, (members, table)) in zip(grid, parts.items(), strict=True):
        shown = axes.imshow(table, cmap="viridis", vmin=min(low, 0.99), vmax=1)
        axes.set_xticks(range(len(members)), members, rotation=90)
        axes.set_yticks(range(len(members)), members)
        axes.grid(visible=False)
        axes.set_title(name)
        if len(members) <= _MANY_MEMBERS:
            _write_values(axes, table, min(low, 0.99))
    drawing.colorbar(shown, ax=grid.tolist(), shrink=0.75, label="F1 between members")
    return saved(drawing, "svg", caption, "agreement between members")


@drawn
def neighbours_figure(parts: Mapping[str, tuple[NDArray[np.floating], str]], pixel_nm: float | None, *, caption: str = "") -> Figure:
    """Histogram of the nearest-neighbour distances of atoms.

    parts : name -> (distances in pixels, colour)
    """
    drawing = canvas(_WIDTH_IN, 3.0)
    axes = drawing.subplots()
    unit = 1.0 if pixel_nm is None else pixel_nm
    pooled = np.concatenate([distances for distances, _ in parts.values()]) * unit
    edges = np.linspace(0, float(np.percentile(pooled, 99.5)) * 1.15, 81) if len(pooled) else np.linspace(0, 1, 11)
    for name, (distances, colour) in parts.items():
        axes.hist(
            np.clip(distances * unit, 0, edges[-1]), edges.tolist(), histtype="step", linewidth=1.6, color=colour, label=f"{name} ({len(distances)} atoms)"
        )
    axes.set_xlabel(f"distance to the nearest neighbour ({'px' if pixel_nm is None else 'nm'})")
    axes.set_ylabel("atoms")
    axes.set_xlim(0, edges[-1])
    axes.legend()
    return saved(drawing, "svg", caption, "histogram of nearest-neighbour distances")


def _points(axes: Axes, one: Reliability, colour: str, name: str) -> None:
    """Observed over predicted with two standard errors (Wilson); bins of fewer than five are left out."""
    used = one.count >= 5
    n, p = one.count[used], one.observed[used]
    centre, half = (p + 2 / n) / (1 + 4 / n), 2 * np.sqrt(p * (1 - p) / n + 1 / n**2) / (1 + 4 / n)
    low, high = np.maximum(p - (centre - half), 0), np.maximum(centre + half - p, 0)
    axes.errorbar(one.predicted[used], p, (low, high), color=colour, marker="o", capsize=2, linewidth=1.3, label=name)


def _write_values(axes: Axes, table: NDArray[np.floating], low: float) -> None:
    for (y, x), value in np.ndenumerate(table):
        if y != x:
            axes.text(x, y, f"{value:.3f}".lstrip("0"), ha="center", va="center", fontsize=6.5, color="black" if value > (1 + low) / 2 else "white")
