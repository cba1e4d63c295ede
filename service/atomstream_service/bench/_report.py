"""Measurements as a table and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.table import Table

from ._limits import Limits
from ._measure import Measured

_LEAST = 2
"""Numbers of members through which a line can be laid."""


@dataclass(frozen=True)
class Fit:
    """A straight line through the times of `infer` over the number of members, of those numbers that leave no processor without one.

    ms_per_member, ms_at_none : its slope, and where it begins
    r2 : share of the variance that it explains
    """

    side: int
    way: str
    ms_per_member: float
    ms_at_none: float
    r2: float


def cost_per_member(measured: Iterable[Measured]) -> list[Fit]:
    """What each enabled member costs, for each frame size and way with several numbers of members."""
    groups: dict[tuple[int, str], list[tuple[int, float]]] = {}
    for one in measured:
        if one.case.members % one.at_once == 0:
            groups.setdefault((one.case.side, one.case.way), []).append((one.case.members, one.stages["infer"].median))
    return [_fit(side, way, points) for (side, way), points in groups.items() if len({members for members, _ in points}) >= _LEAST]


def _fit(side: int, way: str, points: Sequence[tuple[int, float]]) -> Fit:
    members, ms = (np.array(column, float) for column in zip(*points, strict=True))
    slope, start = np.polyfit(members, ms, 1)
    spread = float(((ms - ms.mean()) ** 2).sum())
    left = float(((ms - slope * members - start) ** 2).sum())
    return Fit(side, way, float(slope), float(start), 1.0 - left / spread if spread > 0 else 1.0)


def report(measured: Sequence[Measured], gflop: Mapping[int, float], limits: Limits) -> tuple[Table, dict[str, Any]]:
    """The figures for people and for programs.

    gflop : side of a frame -> 10^9 operations of one member
    """
    fits = cost_per_member(measured)
    table = Table("frame", "members", "runtime", "prepare", "infer", "locate", "total", "p95", "p99", "frames/s", "of the limit", title="milliseconds, medians")
    rows = []
    for one in measured:
        share = gflop[one.case.side] * one.case.members / (one.stages["infer"].median / 1000) / limits.gflops
        rows.append({**one.as_json(), "share_of_limit": share})
        stages = [f"{one.stages[stage].median:.1f}" for stage in ("prepare", "infer", "locate", "total")]
        total = one.stages["total"]
        rate = f"{1000 / total.median:.1f}"
        table.add_row(f"{one.case.side}²", str(one.case.members), one.case.way, *stages, f"{total.p95:.1f}", f"{total.p99:.1f}", rate, f"{100 * share:.0f} %")
    return table, {
        "limits": asdict(limits),
        "gflop_per_member": {str(side): value for side, value in gflop.items()},
        "cases": rows,
        "fits": [asdict(one) for one in fits],
    }
