"""The frame published last, and a place to wait for the next one."""

from __future__ import annotations

import threading

from ._work import Finished


class Latest:
    """Holds one frame; safe to use from several threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._number = 0
        self._frame: Finished | None = None

    def put(self, frame: Finished) -> None:
        """A newer frame takes the place of the one before."""
        with self._changed:
            self._number += 1
            self._frame = frame
            self._changed.notify_all()

    @property
    def frame(self) -> Finished | None:
        """None before the first one."""
        return self._frame

    def other_than(self, number: int, timeout_s: float) -> int:
        """How many frames have been published, as soon as that is another number than this one, or the time is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._number != number, timeout_s)
            return self._number
