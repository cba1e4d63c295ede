"""Scans that still run: their rows go to the members as they arrive, and the complete frame finds most of its work done."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from atomstream_models.analysis import MemberFailed, Outputs, Prepared, RunMembers, RunningScan, StripMembers
from atomstream_models.normalize import Scaling

from ..members import MemberState
from ..transport import CommandRefused
from ._work import Active, Job

log = logging.getLogger(__name__)

_T = TypeVar("_T")

_MOST_SOURCES = 8
"""Instruments whose scans are followed at once; the one that was heard of longest ago makes room."""


class Scans:
    """What is known of each source's scan. Partial frames come in on any thread; everything else happens on the inference thread.

    aside : has the inference thread call something once no frame waits
    usable : the ensemble state by then, and its members whose runs have failed
    followed, whole : complete frames whose rows had been seen as they arrived, and those that had to be run whole after all
    """

    def __init__(self, aside: Callable[[Callable[[], None]], None], usable: Callable[[], tuple[Active, Container[str]]]) -> None:
        self.followed = 0
        self.whole = 0
        self._aside = aside
        self._usable = usable
        self._lock = threading.Lock()
        self._closed = False
        self._newest: dict[str, Job] = {}
        self._scans: OrderedDict[str, _Followed] = OrderedDict()
        self._scalings: OrderedDict[str, tuple[object, Scaling]] = OrderedDict()

    def offer(self, job: Job) -> None:
        """A frame of a scan that still runs; only each source's newest one is looked at."""
        with self._lock:
            waits = bool(self._newest)
            self._newest[job.frame.source] = job
        if not waits:
            with contextlib.suppress(CommandRefused):  # the engine is being stopped
                self._aside(self._advance)

    def close(self) -> None:
        """Look at nothing any more."""
        self._closed = True

    def summary(self) -> dict[str, int]:
        return {"followed": self.followed, "whole": self.whole}

    def carried(self, job: Job, active: Active) -> Scaling | None:
        """The scaling with which this frame's scan has been followed."""
        scan = self._scan_of(job, active)
        return None if scan is None else scan.scaling

    def run_for(self, job: Job, active: Active, prepared: Prepared) -> RunMembers:
        """How to run members on a complete frame: from what they have seen of it, else on all of it."""
        scan = self._scan_of(job, active)
        self._scans.pop(job.frame.source, None)
        if prepared.scaling is not None and not prepared.grid.resampled:
            _remember(self._scalings, job.frame.source, (_looks(job, active), prepared.scaling))

        def run(tensor: NDArray[np.float32], members: Sequence[str]) -> Outputs:
            nonlocal scan
            seen, scan = scan, None  # a scan can be brought to its end once
            if seen is not None:
                outputs = self._answered(seen, tensor, members)
                if outputs is not None:
                    self.followed += 1
                    return outputs
                self.whole += 1
            return active.ensemble.answer(tensor, members)

        return run

    def _answered(self, scan: RunningScan, tensor: NDArray[np.float32], members: Sequence[str]) -> Outputs | None:
        try:
            return scan.answer(tensor, members)
        except MemberFailed as error:
            # It may be one that does not count any more; the run on the whole frame finds out.
            log.info("a scan could not be followed to its end: %s", error)
            return None

    def _advance(self) -> None:
        with self._lock:
            newest, self._newest = self._newest, {}
        if self._closed:
            return
        active, failed = self._usable()
        for source in [source for source, one in self._scans.items() if one.strips is not active.ensemble.strips]:
            del self._scans[source]
        for job in newest.values():
            self._look_at(job, active, failed)

    def _look_at(self, job: Job, active: Active, failed: Container[str]) -> None:
        source, strips, rows = job.frame.source, active.ensemble.strips, job.frame.valid_rows
        looks, scaling = self._scalings.get(source, (None, None))
        if strips is None or rows is None or rows[0] != 0 or scaling is None or looks != _looks(job, active):
            return
        kept = self._scans.get(source)
        if kept is not None and kept.key == _key(job, active) and kept.scan is None:
            return
        scan = self._scan_of(job, active)
        if scan is None or rows[1] < scan.rows_seen:
            shape = (job.image.shape[0], job.image.shape[1])
            members = [member for member in active.members_in(MemberState.ENABLED) if member not in failed]
            if not members:
                return
            scan = RunningScan(strips, active.ensemble.card, members, shape, scaling)
            _remember(self._scans, source, _Followed(_key(job, active), strips, scan))
        try:
            scan.advance(job.image, rows[1])
        except MemberFailed as error:
            # The complete frame will find out who it is, and say so.
            log.info("a scan is not followed any further: %s", error, extra={"source": source})
            _remember(self._scans, source, _Followed(_key(job, active), strips, None))

    def _scan_of(self, job: Job, active: Active) -> RunningScan | None:
        kept = self._scans.get(job.frame.source)
        return kept.scan if kept is not None and kept.strips is active.ensemble.strips and kept.key == _key(job, active) else None


@dataclass(frozen=True)
class _Followed:
    """A scan under way; `scan` is None where it is not followed any further.

    key : what must be the same for two messages to be of one scan
    strips : whose members look at it
    """

    key: object
    strips: StripMembers
    scan: RunningScan | None


def _remember(among: OrderedDict[str, _T], source: str, what: _T) -> None:
    among[source] = what
    among.move_to_end(source)
    if len(among) > _MOST_SOURCES:
        among.popitem(last=False)


def _looks(job: Job, active: Active) -> tuple[object, ...]:
    """What must be the same for a scaling to hold."""
    return (job.frame.session, job.channel, job.image.shape, job.image.dtype, active.ensemble.bundle.sha256)


def _key(job: Job, active: Active) -> tuple[object, ...]:
    return (*_looks(job, active), job.frame.frame)
