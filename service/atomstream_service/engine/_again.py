"""Frames of the ring answered once more: there are no maps of them any more, and members may have changed since."""

from __future__ import annotations

import threading
from collections.abc import Callable

from atomstream_models.recording import RecordedFrame

from ._intake import Intake
from ._requests import answer_one
from ._work import Active, Finished, Job

_PATIENCE_S = 5.0


class Again:
    """Answers kept frames with the members that count now. Holds the last answer, since pages ask for several pictures of a frame.

    active : the ensemble state that answers now
    """

    def __init__(self, intake: Intake[Job], active: Callable[[], Active]) -> None:
        self._intake = intake
        self._active = active
        self._lock = threading.Lock()
        self._last: Finished | None = None

    def answered(self, kept: RecordedFrame) -> Finished:
        """A frame's answer as it would be now; raises CommandRefused where it can't be had."""
        with self._lock:
            last = self._last
            if last is None or last.job.frame is not kept.frame or last.active is not self._active():
                last = self._last = answer_one(self._intake, kept.frame, kept.report.channel, kept.frame.channels[kept.report.channel], _PATIENCE_S)
            return last
