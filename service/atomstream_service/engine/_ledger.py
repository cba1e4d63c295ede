"""Every frame that came and every frame that was lost, by source and by where."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, OrderedDict, deque
from typing import Literal

from ..logs import Throttle

often = Throttle(logging.getLogger(__name__))

Where = Literal["source_gap", "queue", "late", "rejected"]
"""source_gap = never arrived (a jump in seq); queue = made way for a newer frame; late = arrived after a newer one
of its session; rejected = could not be processed."""

PLACES: tuple[Where, ...] = ("source_gap", "queue", "late", "rejected")
_MOST = 256
_WINDOW_S = 10.0
_RECENT = 10_000
OTHERS = "(others)"


class Ledger:
    """Counts, safe from any thread. Beyond a few hundred sources the rest share one account."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._received: Counter[str] = Counter()
        self._answered: Counter[str] = Counter()
        self._partial: Counter[str] = Counter()
        self._gaps: Counter[str] = Counter()
        self._newest: dict[str, float] = {}
        self._born = time.monotonic()
        self._answer_times: dict[str, deque[float]] = {}
        self._dropped: dict[str, Counter[str]] = {}
        self._last_seq: OrderedDict[tuple[str, str], int] = OrderedDict()

    def arrived(self, source: str, session: str, seq: int) -> int | None:
        """Note a frame's arrival; None for a new one, and for one that is late the highest number in its session so far, which may be its own."""
        with self._lock:
            self._received[self._account(source)] += 1
            last = self._last_seq.get((source, session))
            late = last is not None and seq <= last
            missing = 0 if late or last is None else seq - last - 1
            if late:
                self._count(source, "late", 1)
            else:
                self._count(source, "source_gap", missing)
                self._gaps[self._account(source)] += missing > 0
                self._last_seq[source, session] = seq
                self._last_seq.move_to_end((source, session))
                if len(self._last_seq) > _MOST:
                    self._last_seq.popitem(last=False)
        if late:
            often.say(logging.WARNING, "late", f"frame lost: it came after frame {last} of its session", source=source, session=session, seq=seq)
        if missing:
            often.say(logging.WARNING, "source_gap", "frames lost before they arrived", missing, source=source, session=session, seq=seq)
        return last if late else None

    def answered(self, source: str, t_recv: float) -> None:
        """Note a frame that was answered; t_recv : when it came, in seconds since the epoch."""
        with self._lock:
            account = self._account(source)
            self._newest[account] = t_recv
            self._answered[account] += 1
            self._answer_times.setdefault(account, deque(maxlen=_RECENT)).append(time.monotonic())

    def passed_over(self, source: str) -> None:
        """Note the frame of a scan that still runs; the complete one will bring its rows again."""
        with self._lock:
            self._partial[self._account(source)] += 1

    def lost(self, source: str, where: Where) -> None:
        with self._lock:
            self._count(source, where, 1)
        if where == "queue":
            often.say(logging.INFO, where, "frame lost: a newer one took its place", source=source)

    def dropped(self, source: str) -> dict[str, int]:
        """Frames lost so far from one source, by where."""
        with self._lock:
            counts = self._dropped.get(self._account(source), Counter())
            return {where: counts[where] for where in PLACES}

    def summary(self) -> dict[str, dict[str, object]]:
        """source -> received, answered, partial (passed over), sequence_gaps (jumps in seq), age_s (time since the frame answered last came),
        frames_per_s (answered, lately), dropped by where."""
        with self._lock:
            names = sorted({*self._received, *self._dropped})
            return {
                name: {
                    "received": self._received[name],
                    "answered": self._answered[name],
                    "partial": self._partial[name],
                    "sequence_gaps": self._gaps[name],
                    "age_s": None if (t_recv := self._newest.get(name)) is None else time.time() - t_recv,
                    "frames_per_s": self._rate(name),
                    "dropped": {where: self._dropped.get(name, Counter())[where] for where in PLACES},
                }
                for name in names
            }

    def _rate(self, account: str) -> float:
        """Frames answered per second over the last ten seconds."""
        now = time.monotonic()
        window = min(_WINDOW_S, now - self._born)
        return sum(t > now - window for t in self._answer_times.get(account, ())) / window if window > 0 else 0.0

    def _count(self, source: str, where: Where, frames: int) -> None:
        self._dropped.setdefault(self._account(source), Counter())[where] += frames

    def _account(self, source: str) -> str:
        known = source in self._received or source in self._dropped
        return source if known or len(self._received) + len(self._dropped) < 2 * _MOST else OTHERS
