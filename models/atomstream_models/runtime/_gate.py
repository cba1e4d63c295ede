"""Who may use GPUs at the same time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Gate:
    """Frames may run side by side; while a session is made or its work captured, nothing else may use a GPU."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._frames = 0
        self._alone = False

    @contextmanager
    def frame(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._alone)
            self._frames += 1
        try:
            yield
        finally:
            with self._changed:
                self._frames -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._alone and not self._frames)
            self._alone = True
        try:
            yield
        finally:
            with self._changed:
                self._alone = False
                self._changed.notify_all()
