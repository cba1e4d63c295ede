"""Sessions and sequence numbers for streams that have none."""

from __future__ import annotations

import uuid
from collections import OrderedDict
from dataclasses import dataclass

_MOST = 256
"""Sources that are remembered; names come from the network."""


@dataclass(frozen=True)
class _Run:
    session: str
    series: str | None
    seq: int
    number: int


class Numbering:
    """Tells runs of frames apart, and makes their numbers ours.

    A run ends where the series changes or the instrument's number does not grow: then it has started again, and its frames get a session of their
    own. Within a run, seq is the instrument's number, so that a jump is counted as a loss.

    leaves_out : whether jumps are no losses; seq then counts the frames that came
    """

    def __init__(self, leaves_out: bool) -> None:
        self._leaves_out = leaves_out
        self._runs: OrderedDict[str, _Run] = OrderedDict()

    def next(self, source: str, series: str | None, number: int | None) -> tuple[str, int]:
        """Session and seq of a frame that has just come; number : the instrument's, None where it counts nothing."""
        before = self._runs.pop(source, None)
        counted = None if self._leaves_out else number
        seq = counted if counted is not None else 0 if before is None else before.seq + 1
        stuck = before is not None and (seq <= before.seq or (number is not None and number <= before.number))
        if before is None or before.series != series or stuck:
            run = _Run(uuid.uuid4().hex, series, counted or 0, -1 if number is None else number)
        else:
            run = _Run(before.session, series, seq, before.number if number is None else number)
        self._runs[source] = run
        if len(self._runs) > _MOST:
            self._runs.popitem(last=False)
        return run.session, run.seq
