"""Measurements as pictures."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from atomstream_models.report import Figure, canvas, drawn, saved

from ._along import Curves, along, is_curve
from ._machine import Machine
from ._measure import Measured
from ._report import cost_per_member
from ._suite import Findings

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

_LOOKS = (("#0072b2", "o"), ("#d55e00", "s"), ("#009e73", "^"), ("#cc79a7", "D"), ("#e69f00", "v"), ("#56b4e9", "P"))
"""Colours that the colour-blind tell apart (Okabe and Ito 2008), each with a mark of its own; a way keeps its look in all pictures."""
_STAGES = {"prepare": "#e69f00", "infer": "#0072b2", "locate": "#009e73"}
_GREY = "#6f7680"
_WIDTH_IN, _HEIGHT_IN, _BAR_IN = 7.5, 4.2, 0.24
_CHARACTERS = 125
"""Of a line below a picture."""


def write_plots(found: Findings, machine: Machine, folder: Path) -> list[Path]:
    """Write a PNG into `folder` for each relation of which there are points enough; returns their paths.

    Raises
    ------
    ExtraMissing
        where matplotlib is not installed.
    """
    looks = {way: _LOOKS[k % len(_LOOKS)] for k, way in enumerate(found.ways)}
    own = [one for one in found.measured if found.networks[one.case.network].filters is None]
    wide = [one for one in found.measured if found.networks[one.case.network].filters is not None]
    by_members = along(own, lambda one: one.case.members, lambda one: (one.case.network, one.case.side))
    by_side = along(own, lambda one: one.case.side, lambda one: (one.case.network, one.case.members))
    by_filters = along(wide, lambda one: found.networks[one.case.network].filters or 0, lambda one: (one.case.side, one.case.members))
    figures: dict[str, Figure] = {}
    if is_curve(by_members):
        figures["members"] = _members(by_members, looks, str(machine))
    if is_curve(by_side):
        figures["sides"] = _sides(by_side, looks, str(machine))
    if is_curve(by_filters):
        figures["filters"] = _filters(by_filters, looks, str(machine))
    shown = _shown(by_side, by_filters)
    if shown:
        figures["stages"] = _stages(shown, str(machine))
        figures["limits"] = _limits(shown, found, str(machine))
    if by_members and by_side and any(memory.peak for memory in found.memory.values()):
        figures["memory"] = _memory(by_members, by_side, found, looks, str(machine))
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in figures.items():
        (folder / f"{name}.png").write_bytes(figure.data)
    return [folder / f"{name}.png" for name in figures]


@drawn
def _members(curves: Curves, looks: Mapping[str, tuple[str, str]], machine: str) -> Figure:
    drawing, axes = _empty(machine)
    fits = {fit.way: fit for fit in cost_per_member(one for points in curves.values() for _, one in points)}
    for way, points in curves.items():
        colour, marker = looks[way]
        fit = fits.get(way)
        label = way if fit is None else f"{way}: {fit.ms_per_member:.1f} ms a member {fit.ms_at_none:+.1f} ms"
        axes.plot([n for n, _ in points], [one.stages["infer"].median for _, one in points], color=colour, marker=marker, linestyle="", label=label)
        if fit is not None:
            ends = (points[0][0], points[-1][0])
            axes.plot(ends, [fit.ms_at_none + fit.ms_per_member * n for n in ends], color=colour, linewidth=1.2)
    case = _first(curves).case
    axes.set_title(f"{case.network}, {case.side}²: lines are fits of the numbers of members that leave no processor without one")
    axes.set_xlabel("enabled members")
    axes.set_ylabel("members, mean and std of a frame (ms, median)")
    _from_zero(axes)
    axes.set_xticks(sorted({n for points in curves.values() for n, _ in points}))
    axes.legend()
    return saved(drawing, "png", "", "time over the number of members")


@drawn
def _sides(curves: Curves, looks: Mapping[str, tuple[str, str]], machine: str) -> Figure:
    drawing, axes = _empty(machine)
    _spreads(axes, curves, looks)
    case = _first(curves).case
    _name_latencies(axes, curves, f"{case.network}, {_counted(case.members)}", "frame (pixels)", lambda side: f"{side}²")
    return saved(drawing, "png", "", "latency over the size of frames")


@drawn
def _filters(curves: Curves, looks: Mapping[str, tuple[str, str]], machine: str) -> Figure:
    drawing, axes = _empty(machine)
    _spreads(axes, curves, looks)
    case = _first(curves).case
    low = min((points[0][0], points[0][1].stages["total"].median) for points in curves.values())
    high = max(points[-1][0] for points in curves.values())
    axes.plot([low[0], high], [low[1], low[1] * (high / low[0]) ** 2], color=_GREY, linestyle=":", label="twice the filters, four times the operations")
    _name_latencies(axes, curves, f"untrained {case.network.split()[0]}, {case.side}², {_counted(case.members)}", "filters of the first level", str)
    return saved(drawing, "png", "", "latency over the width of networks")


def _name_latencies(axes: Axes, curves: Curves, cases: str, along_x: str, told: Callable[[int], str]) -> None:
    axes.set_title(f"{cases}: medians, whiskers to the 95th percentile")
    _logarithmic(axes, curves, told)
    axes.set_xlabel(along_x)
    axes.set_ylabel("from a frame's pixels to its atoms (ms)")
    axes.legend()


@drawn
def _stages(shown: Sequence[Measured], machine: str) -> Figure:
    drawing, axes = _empty(machine, _bars_height(shown))
    left = [0.0] * len(shown)
    for stage, colour in _STAGES.items():
        shares = [100 * one.stages[stage].median / sum(one.stages[name].median for name in _STAGES) for one in shown]
        axes.barh(range(len(shown)), shares, left=left, color=colour, height=0.75, label=stage)
        left = [start + share for start, share in zip(left, shares, strict=True)]
    for k, one in enumerate(shown):
        axes.text(101, k, _told(one.stages["total"].median), va="center")
    _name_bars(axes, shown)
    axes.set_xlim(0, 115)
    axes.set_xticks(range(0, 101, 20))
    axes.set_xlabel("share of a frame's time (%, medians); on the right the whole of it")
    drawing.legend(loc="outside upper right", ncols=len(_STAGES))
    return saved(drawing, "png", "", "shares of the stages in a frame's time")


@drawn
def _limits(shown: Sequence[Measured], found: Findings, machine: str) -> Figure:
    drawing, axes = _empty(machine, _bars_height(shown))
    roofs = [found.roof(one) for one in shown]
    for k, roof in enumerate(roofs):
        lower = roof.arithmetic if roof.roof == "arithmetic" else roof.bandwidth or 0.0
        axes.plot([0, 100 * lower], [k, k], color=_GREY, linewidth=1.0, zorder=1)
    known = [(100 * roof.bandwidth, k) for k, roof in enumerate(roofs) if roof.bandwidth is not None]
    axes.plot(
        [100 * roof.arithmetic for roof in roofs], range(len(roofs)), color="#0072b2", marker="o", linestyle="", label="arithmetic: fastest matrix product"
    )
    axes.plot(
        [share for share, _ in known], [k for _, k in known], color="#d55e00", marker="s", fillstyle="none", linestyle="", label="bandwidth: copying in memory"
    )
    axes.axvline(100, color=_GREY, linestyle=":")
    _name_bars(axes, shown)
    axes.set_xlim(0, 1.05 * axes.dataLim.x1)
    axes.set_xlabel("share of the machine's limit while members run (%)\nthe grey line ends at the limit that would be met first")
    drawing.legend(loc="outside upper right", ncols=2)
    return saved(drawing, "png", "", "shares of the machine's limits")


@drawn
def _memory(by_members: Curves, by_side: Curves, found: Findings, looks: Mapping[str, tuple[str, str]], machine: str) -> Figure:
    drawing = canvas(_WIDTH_IN, _HEIGHT_IN)
    _below(drawing, machine)
    left, right = drawing.subplots(1, 2)
    for axes, curves in ((left, by_members), (right, by_side)):
        for way, points in curves.items():
            known = [(value, memory.peak / 1e9) for value, one in points if (memory := found.memory.get(one.case)) and memory.peak]
            axes.plot([value for value, _ in known], [peak for _, peak in known], color=looks[way][0], marker=looks[way][1], label=way)
        axes.set_ylabel("most memory of a process of its own (GB)")
    left.set_title(f"{_first(by_members).case.side}²")
    left.set_xlabel("enabled members")
    _from_zero(left)
    right.set_title(_counted(_first(by_side).case.members))
    _logarithmic(right, by_side, lambda side: f"{side}²")
    right.set_xlabel("frame (pixels)")
    drawing.legend(*left.get_legend_handles_labels(), loc="outside upper right", ncols=len(by_members))
    return saved(drawing, "png", "", "memory over members and the size of frames")


def _shown(*curves: Curves) -> list[Measured]:
    """What has a bar of its own, by the axes' values, the ways side by side."""
    return [one for some in curves for one in sorted((one for points in some.values() for _, one in points), key=lambda one: (one.case.side, one.case.network))]


def _empty(machine: str, height_in: float = _HEIGHT_IN) -> tuple[Canvas, Axes]:
    drawing = canvas(_WIDTH_IN, height_in)
    _below(drawing, machine)
    return drawing, drawing.subplots()


def _below(drawing: Canvas, machine: str) -> None:
    drawing.supxlabel(textwrap.fill(machine, _CHARACTERS), fontsize=7, color=_GREY)


def _bars_height(shown: Sequence[Measured]) -> float:
    return 1.5 + _BAR_IN * len(shown)


def _name_bars(axes: Axes, shown: Sequence[Measured]) -> None:
    axes.set_yticks(range(len(shown)), [f"{one.case.network}, {one.case.side}², {_counted(one.case.members)}, {one.case.way}" for one in shown], fontsize=7)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")


def _told(ms: float) -> str:
    return f"{ms / 1000:.2f} s" if ms >= 1000 else f"{ms:.0f} ms" if ms >= 10 else f"{ms:.1f} ms"


def _counted(members: int) -> str:
    return f"{members} member{'s' if members != 1 else ''}"


def _spreads(axes: Axes, curves: Curves, looks: Mapping[str, tuple[str, str]]) -> None:
    for way, points in curves.items():
        times = [one.stages["total"] for _, one in points]
        above = [max(time.p95 - time.median, 0.0) for time in times]
        axes.errorbar(
            [value for value, _ in points],
            [time.median for time in times],
            ([0.0] * len(times), above),
            color=looks[way][0],
            marker=looks[way][1],
            capsize=2,
            linewidth=1.3,
            label=way,
        )


def _from_zero(axes: Axes) -> None:
    """Both scales, with room above for what is marked at the top."""
    axes.set_xlim(left=0)
    axes.set_ylim(0, 1.08 * axes.dataLim.y1)


def _logarithmic(axes: Axes, curves: Curves, name: Callable[[int], str]) -> None:
    """Both scales, the horizontal one marked at the points and nowhere else."""
    values = sorted({value for points in curves.values() for value, _ in points})
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter  # noqa: PLC0415

    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(values, [name(value) for value in values])
    axes.xaxis.set_minor_locator(NullLocator())
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high > 10 * low else (1, 1.5, 2, 3, 4, 5, 6, 8)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def _first(curves: Curves) -> Measured:
    return next(one for points in curves.values() for _, one in points)
