"""Which of the machine's limits members run into, and how close they come to it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from atomstream_models.runtime import Way

from ._limits import Limits
from ._work import Work

_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class Roof:
    """Shares of the machine's limits (Williams 2009, doi:10.1145/1498765.1498785).

    arithmetic : of the fastest matrix product
    bandwidth : of the rate at which memory is copied, for what must move if the network is worked out layer by layer; above 1 where the layers stay in the
        processors' or the GPU's caches; None where the rate is not known
    roof : which of the two would take longer, alone and at its limit
    """

    arithmetic: float
    bandwidth: float | None
    roof: Literal["arithmetic", "bandwidth"]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def roof_of(work: Work, members: int, way: Way, ms: float, limits: Limits) -> Roof:
    """How close so many members come who take `ms` for a frame, each doing `work`."""
    seconds = ms / 1000
    arithmetic = work.flop * members / (1e9 * limits.gflops(way)) / seconds
    copied = limits.copied_gb_s(way)
    bandwidth = None if copied is None else work.moved * _BYTES[way.bits] * members / (1e9 * copied) / seconds
    return Roof(arithmetic, bandwidth, "arithmetic" if bandwidth is None or arithmetic >= bandwidth else "bandwidth")
