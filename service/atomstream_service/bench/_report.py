"""Measurements as tables and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.table import Table

from ._measure import STAGES, Measured
from ._service import ServiceTimes
from ._spread import as_ms
from ._suite import Findings

_LEAST = 2
"""Numbers of members through which a line can be laid."""


@dataclass(frozen=True)
class Fit:
    """A straight line through the times of `infer` over the number of members, of those numbers that leave no processor without one.

    ms_per_member, ms_at_none : its slope, and where it begins
    r2 : share of the variance that it explains
    """

    network: str
    side: int
    way: str
    ms_per_member: float
    ms_at_none: float
    r2: float

    def __str__(self) -> str:
        line = f"{as_ms(self.ms_per_member)} ms for each enabled member, {as_ms(self.ms_at_none)} ms besides (r² {self.r2:.3f})"
        return f"{self.network}, {self.side}², {self.way}: {line}"


def cost_per_member(measured: Iterable[Measured]) -> list[Fit]:
    """What each enabled member costs, for each network, frame size and way with several numbers of members."""
    groups: dict[tuple[str, int, str], list[tuple[int, float]]] = {}
    for one in measured:
        case = one.case
        if case.members % one.at_once == 0:
            groups.setdefault((case.network, case.side, case.way), []).append((case.members, one.stages["infer"].median))
    return [_fit(*group, points) for group, points in groups.items() if len({members for members, _ in points}) >= _LEAST]


def _fit(network: str, side: int, way: str, points: Sequence[tuple[int, float]]) -> Fit:
    members, ms = (np.array(column, float) for column in zip(*points, strict=True))
    slope, start = np.polyfit(members, ms, 1)
    spread = float(((ms - ms.mean()) ** 2).sum())
    left = float(((ms - slope * members - start) ** 2).sum())
    return Fit(network, side, way, float(slope), float(start), 1.0 - left / spread if spread > 0 else 1.0)


def table(found: Findings) -> Table:
    """A line for each case."""
    printed = Table(title="milliseconds, medians; MB: most memory of a process of its own; shares of the machine's limits, * the lower one")
    for column in ("network", "frame", "members", "runtime", *STAGES, "p95", "p99", "frames/s", "MB", "arithmetic", "bandwidth"):
        printed.add_column(column, justify="left" if column in ("network", "runtime") else "right")
    for one in found.measured:
        case, total, roof, memory = one.case, one.stages["total"], found.roof(one), found.memory.get(one.case)
        stages = [as_ms(one.stages[stage].median) for stage in STAGES]
        peak = "" if memory is None or memory.peak is None else f"{memory.peak / 1e6:.0f}"
        shares = [_share(roof.arithmetic, roof.roof == "arithmetic"), _share(roof.bandwidth, roof.roof == "bandwidth")]
        spread = [as_ms(total.p95), as_ms(total.p99), f"{one.frames_per_s:.1f}"]
        printed.add_row(case.network, f"{case.side}²", str(case.members), case.way, *stages, *spread, peak, *shares)
    return printed


def _share(share: float | None, lower: bool) -> str:
    return "" if share is None else f"{100 * share:.0f} %{'*' if lower else ' '}"


def as_json(found: Findings, service: ServiceTimes | None = None) -> dict[str, Any]:
    """All figures for programs."""
    return {
        "limits": found.limits.as_json(),
        "networks": [{"name": one.name, "filters": one.filters, "architecture": one.bundle.card.members[0].architecture} for one in found.networks.values()],
        "works": [{"network": network, "side": side, **asdict(work)} for (network, side), work in found.works.items()],
        "cases": [{**one.as_json(), "roof": found.roof(one).as_json(), "memory": _memory(found, one)} for one in found.measured],
        "fits": [asdict(one) for one in cost_per_member(found.measured)],
        "skipped": [asdict(one) for one in found.skipped],
        "service": None if service is None else service.as_json(),
    }


def _memory(found: Findings, one: Measured) -> dict[str, Any] | None:
    memory = found.memory.get(one.case)
    return None if memory is None else memory.as_json()
