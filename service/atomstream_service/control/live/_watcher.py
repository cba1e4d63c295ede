"""One thread that looks again and again, and only while somebody wants to know."""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable

log = logging.getLogger(__name__)

_PAUSE_S = 1.0

Wake = Callable[[], object]


class Watcher(ABC):
    """Calls everybody who has joined whenever `look` found something new; safe to use from several threads."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._joined: dict[int, Wake] = {}
        self._count = 0
        self._running = False

    def join(self, wake: Wake) -> Callable[[], None]:
        """Have `wake` called from now on, until what is returned is called."""
        with self._lock:
            self._count += 1
            number = self._count
            self._joined[number] = wake
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name=self._name, daemon=True).start()
        return lambda: self._leave(number)

    @abstractmethod
    def look(self) -> bool:
        """Wait for something new, not for long; whether there is."""

    def _is_something_new(self) -> bool:
        try:
            return self.look()
        except Exception:
            log.exception("%s: looking failed; it is tried again", self._name)
            time.sleep(_PAUSE_S)
            return False

    def _leave(self, number: int) -> None:
        with self._lock:
            self._joined.pop(number, None)

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._joined:
                    self._running = False
                    return
            if self._is_something_new():
                with self._lock:
                    waiting = list(self._joined.values())
                for wake in waiting:
                    wake()
