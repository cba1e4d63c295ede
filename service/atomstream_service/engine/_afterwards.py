"""What is done with a frame once its results have gone out, on a thread that no frame waits for."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import wait

from ..logs import Throttle
from ._work import Finished

log = logging.getLogger(__name__)

_DEPTH = 4
"""Frames that may wait before watchers skip some."""
_PATIENCE_S = 30.0
_SAID_EVERY_S = 60.0
"""Between two lines of the log about what fails on frame after frame."""

Listener = Callable[[Finished], None]


class Afterwards:
    """Hands published frames to watchers and keepers, in order.

    watchers : may take long; while too many frames wait they are spared the oldest, which is counted
    keepers : quick ones, called with every frame after the watchers
    skipped : frames that no watcher saw
    failed : frames that somebody failed on, each as often as that was; one that a keeper failed on may be in neither ring nor recordings
    """

    def __init__(self, watchers: Sequence[Listener], keepers: Sequence[Listener]) -> None:
        self._watchers = watchers
        self._keepers = keepers
        self._waiting: deque[Finished] = deque()
        self._changed = threading.Condition()
        self._stopped = False
        self._added = 0
        self._kept = 0
        self.skipped = 0
        self.failed = 0
        self._often = Throttle(log, _SAID_EVERY_S)
        self._thread = threading.Thread(target=self._run, name="afterwards", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End once every frame has been kept."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._thread.join(10)

    def add(self, finished: Finished) -> None:
        """Never waits."""
        with self._changed:
            self._waiting.append(finished)
            self._added += 1
            self._changed.notify_all()

    def catch_up(self, timeout_s: float) -> bool:
        """Wait until every frame added so far has been kept; False where that takes too long."""
        with self._changed:
            added = self._added
            return self._changed.wait_for(lambda: self._kept >= added, timeout_s)

    def _run(self) -> None:
        while (finished := self._next()) is not None:
            if _is_whole(finished) and len(self._waiting) < _DEPTH:
                for watch in self._watchers:
                    self._try(watch, finished)
            else:
                self.skipped += 1
            for keep in self._keepers:
                self._try(keep, finished)
            with self._changed:
                self._kept += 1
                self._changed.notify_all()

    def _next(self) -> Finished | None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._waiting)
            return self._waiting.popleft() if self._waiting else None

    def _try(self, listener: Listener, finished: Finished) -> None:
        """One frame that can't be judged or kept is no reason to judge and keep none from then on."""
        try:
            listener(finished)
        except Exception as error:
            self.failed += 1
            report, kind = finished.report, type(error).__name__
            message = f"a frame has been answered, but not judged or kept: {kind}: {error}"
            self._often.say(logging.ERROR, kind, message, error=error, source=report.source, session=report.session, seq=report.seq)


def _is_whole(finished: Finished) -> bool:
    """Wait for what runs beside a frame; False where that takes too long, and nobody can judge it."""
    if finished.beside is None:
        return True
    done, _ = wait([finished.beside], _PATIENCE_S)
    return bool(done)
