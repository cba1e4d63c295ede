"""What may happen a thousand times a second, said once."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class _Kind:
    """said_at : when its last line came; waiting : how often it has happened since; line : the last of these."""

    said_at: float
    waiting: int = 0
    line: tuple[int, str, dict[str, object]] | None = None


class Throttle:
    """Writes at most one line per kind and interval; `count` on the line says how often it happened since the line before.

    What waits when an interval ends is written then, by a timer, so that the last of a burst is never missing. Safe from any thread.
    """

    def __init__(self, log: logging.Logger, interval_s: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._interval_s = interval_s
        self._clock = clock
        self._lock = threading.Lock()
        self._kinds: dict[str, _Kind] = {}

    def say(self, level: int, kind: str, message: str, count: int = 1, *, error: BaseException | None = None, **fields: object) -> None:
        """Write a line now, or soon with others of its kind.

        kind : one of a few words, never something that a sender chooses
        count : how often it has happened
        error : whose traceback comes with a line that is written now
        fields : some of `FIELDS`
        """
        now = self._clock()
        with self._lock:
            known = self._kinds.get(kind)
            if known is not None and now - known.said_at < self._interval_s:
                if not known.waiting:
                    self._later(kind, known.said_at + self._interval_s - now)
                known.waiting, known.line = known.waiting + count, (level, message, fields)
                return
            waiting = 0 if known is None else known.waiting
            self._kinds[kind] = _Kind(now)
        self._write(level, message, count + waiting, fields, error)

    def _later(self, kind: str, seconds: float) -> None:
        timer = threading.Timer(seconds, self._catch_up, [kind])
        timer.daemon = True
        timer.start()

    def _catch_up(self, kind: str) -> None:
        with self._lock:
            known = self._kinds[kind]
            if known.line is None:
                return
            level, message, fields = known.line
            waiting = known.waiting
            self._kinds[kind] = _Kind(self._clock())
        self._write(level, message, waiting, fields)

    def _write(self, level: int, message: str, count: int, fields: dict[str, object], error: BaseException | None = None) -> None:
        self._log.log(level, message, exc_info=error, extra={**fields, "count": count})
