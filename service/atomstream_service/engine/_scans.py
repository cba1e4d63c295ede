"""Scans that still run: their rows go to the members as they arrive, and the complete frame finds most of its work done."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atomstream_models.analysis import MemberFailed, Outputs, Prepared, RunMembers, RunningScan
from atomstream_models.normalize import Scaling

from ..members import MemberState
from ..transport import CommandRefused
from ._work import Active, Job

log = logging.getLogger(__name__)

_MOST_SOURCES = 8
"""Instruments whose scans are followed at once; the one that was heard of longest ago makes room."""


class Scans:
    """What is known of each source's scan. Partial frames come in on any thread; everything else happens on the inference thread.

    command : has the inference thread call something between two frames
    active : the ensemble state by then
    followed, whole : complete frames whose rows had been seen as they arrived, and those that had to be run whole after all
    """

    def __init__(self, command: Callable[[Callable[[], None]], None], active: Callable[[], Active]) -> None:
        self.followed = 0
        self.whole = 0
        self._command = command
        self._active = active
        self._lock = threading.Lock()
        self._newest: dict[str, Job] = {}
        self._scans: OrderedDict[str, tuple[object, RunningScan]] = OrderedDict()
        self._scalings: OrderedDict[str, tuple[object, Scaling]] = OrderedDict()

    def offer(self, job: Job) -> None:
        """A frame of a scan that still runs; only each source's newest one is looked at."""
        with self._lock:
            waits = bool(self._newest)
            self._newest[job.frame.source] = job
        if not waits:
            with contextlib.suppress(CommandRefused):  # the engine is being stopped
                self._command(self._advance)

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
            self._remember(self._scalings, job.frame.source, (_looks(job, active), prepared.scaling))

        def run(tensor: NDArray[np.float32], members: Sequence[str]) -> Outputs:
            nonlocal scan
            outputs = None if scan is None else scan.answer(tensor, members)
            if scan is not None:
                self.followed += outputs is not None
                self.whole += outputs is None
                scan = None  # a scan can be brought to its end once
            return active.ensemble.answer(tensor, members) if outputs is None else outputs

        return run

    def _advance(self) -> None:
        with self._lock:
            newest, self._newest = self._newest, {}
        active = self._active()
        for job in newest.values():
            try:
                self._look_at(job, active)
            except MemberFailed as error:
                # The complete frame will find out who it is, and say so.
                log.info("a scan is not followed any further: %s", error, extra={"source": job.frame.source})
                self._scans.pop(job.frame.source, None)

    def _look_at(self, job: Job, active: Active) -> None:
        source, strips, rows = job.frame.source, active.ensemble.strips, job.frame.valid_rows
        looks, scaling = self._scalings.get(source, (None, None))
        if strips is None or rows is None or rows[0] != 0 or scaling is None or looks != _looks(job, active):
            return
        scan = self._scan_of(job, active)
        if scan is None or rows[1] < scan.rows_seen:
            shape = (job.image.shape[0], job.image.shape[1])
            scan = RunningScan(strips, active.ensemble.card, active.members_in(MemberState.ENABLED), shape, scaling)
            self._remember(self._scans, source, (_scan(job, active), scan))
        scan.advance(job.image, rows[1])

    def _scan_of(self, job: Job, active: Active) -> RunningScan | None:
        key, scan = self._scans.get(job.frame.source, (None, None))
        return scan if key == _scan(job, active) else None

    def _remember(self, among: OrderedDict[str, Any], source: str, what: Any) -> None:
        among[source] = what
        among.move_to_end(source)
        if len(among) > _MOST_SOURCES:
            among.popitem(last=False)


def _looks(job: Job, active: Active) -> tuple[object, ...]:
    """What must be the same for a scaling to hold."""
    return (job.frame.session, job.channel, job.image.shape, job.image.dtype, active.ensemble.bundle.sha256)


def _scan(job: Job, active: Active) -> tuple[object, ...]:
    """What must be the same for two messages to be of one scan."""
    return (*_looks(job, active), job.frame.frame, active.ensemble.strips)
