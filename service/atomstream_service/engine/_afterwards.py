"""What is done with a frame once its results have gone out, on a thread that no frame waits for."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence

from ._work import Finished

_DEPTH = 4
_PATIENCE_S = 30.0


class Afterwards:
    """Hands published frames to listeners, in order; where they can't keep up, the oldest waiting frame is skipped and counted.

    listeners : called with each frame, after whatever runs beside it has run
    skipped : frames that no listener saw
    """

    def __init__(self, listeners: Sequence[Callable[[Finished], None]]) -> None:
        self._listeners = listeners
        self._waiting: deque[Finished] = deque()
        self._changed = threading.Condition()
        self._stopped = False
        self.skipped = 0
        self._thread = threading.Thread(target=self._run, name="afterwards", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._thread.join(10)

    def add(self, finished: Finished) -> None:
        """Never waits."""
        with self._changed:
            if len(self._waiting) == _DEPTH:
                self._waiting.popleft()
                self.skipped += 1
            self._waiting.append(finished)
            self._changed.notify_all()

    def _run(self) -> None:
        while (finished := self._next()) is not None:
            if finished.beside is not None:
                finished.beside.result(_PATIENCE_S)
            for listener in self._listeners:
                listener(finished)

    def _next(self) -> Finished | None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._waiting)
            return None if self._stopped else self._waiting.popleft()
