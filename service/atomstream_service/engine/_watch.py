"""Drift, watched for on every stream that the engine answers."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from typing import Any

from atomstream_models.analysis import pixel_size_in_nm
from atomstream_wire import Event, Frame

from ..drift import DriftMonitor, DriftSettings, FrameScores, ScanKey, score_frame
from ._work import Finished

log = logging.getLogger(__name__)

_MOST_SOURCES = 64
_REMEMBERED = 1000

Say = Callable[[Event], None]


class DriftWatch:
    """One monitor a source, and what they said lately. Frames come on one thread, questions on any.

    A monitor knows one ensemble: with another one, what is normal is learned anew and alarms are gone.
    """

    def __init__(self, settings: DriftSettings, say: Say) -> None:
        self._settings = settings
        self._say = say
        self._changed = threading.Condition()
        self._monitors: OrderedDict[str, DriftMonitor] = OrderedDict()
        self._members: dict[str, str] = {}
        self._events: deque[dict[str, Any]] = deque(maxlen=_REMEMBERED)
        self._told = 0
        self._frames: dict[str, int] = {}
        self._last: tuple[Finished, FrameScores] | None = None
        self._blamed: frozenset[str] = frozenset()

    def see(self, finished: Finished) -> None:
        """Judge a frame of the stream."""
        source = finished.report.source
        count = self._frames[source] = self._frames.get(source, 0) + 1
        if count % self._settings.every:
            return
        shadows = finished.shadows()
        beside = {} if shadows is None else dict.fromkeys(shadows.members_used, shadows)
        card = finished.active.ensemble.card
        scores = score_frame(finished.report.seq, finished.job.image, finished.inferred, card, beside, complete=finished.job.frame.complete)
        self._last = (finished, scores)
        with self._changed:
            events = self._monitor(source, finished).observe(scores, _scan(finished.job.frame, finished.job.channel))
            for event in events:
                self._told += 1
                about = {"source": source, "session": finished.report.session, "generation": finished.report.ensemble.generation, **event.as_json()}
                self._events.append({"number": self._told, **about})
                self._say(Event("drift", time.time(), about))
            if events:
                self._look_who_is_blamed()
            self._changed.notify_all()

    def doubts(self, source: str) -> bool:
        """Whether an alarm stands on the frames of a source; asked for every frame, so it takes no lock."""
        return source in self._blamed

    def scores_of(self, finished: Finished) -> FrameScores | None:
        """What was made of a frame, if it was the last one judged."""
        return self._last[1] if self._last is not None and self._last[0] is finished else None

    def after(self, number: int, timeout_s: float) -> dict[str, Any]:
        """How every source stands, and the events after one, as soon as there are some or the time is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._told > number, timeout_s)
            standing = {source: monitor.snapshot().as_json() for source, monitor in self._monitors.items()}
            return {
                "sources": standing,
                "ensembles": dict(self._members),
                "events": [one for one in self._events if one["number"] > number],
                "number": self._told,
            }

    def acknowledge(self, subject: str, source: str | None) -> bool:
        """Release an alarm, of one source or all; whether there was one."""
        with self._changed:
            monitors = [one for name, one in self._monitors.items() if source in (None, name)]
            released = [monitor.acknowledge(subject) for monitor in monitors if subject in _subjects(monitor)]
            self._look_who_is_blamed()
            return any(released)

    def change(self, settings: DriftSettings) -> None:
        """Watch in another way from now on; what was learned is kept."""
        with self._changed:
            self._settings = settings
            self._monitors = OrderedDict((name, _with(settings, one)) for name, one in self._monitors.items())

    def as_json(self) -> dict[str, Any]:
        """All that is known, for an engine that comes after this one."""
        with self._changed:
            return {"ensembles": dict(self._members), "sources": {source: monitor.as_json() for source, monitor in self._monitors.items()}}

    def restore(self, state: Mapping[str, Any], members_of: Callable[[str], tuple[str, ...] | None]) -> None:
        """Go on where another engine stopped.

        members_of : checksum of an ensemble -> its members, None where it is another one by now
        """
        with self._changed:
            for source, held in state["sources"].items():
                sha256 = state["ensembles"][source]
                members = members_of(sha256)
                if members is None:
                    continue
                try:
                    self._monitors[source] = DriftMonitor.restore(self._settings, members, held)
                except ValueError as error:
                    log.warning("what was known of drift on %s can't be used, it is learned anew: %s", source, error)
                    continue
                self._members[source] = sha256
            self._look_who_is_blamed()

    def _look_who_is_blamed(self) -> None:
        self._blamed = frozenset(source for source, monitor in self._monitors.items() if monitor.snapshot().blamed)

    def _monitor(self, source: str, finished: Finished) -> DriftMonitor:
        ensemble = finished.active.ensemble
        known = self._monitors.get(source)
        if known is not None and self._members[source] == ensemble.bundle.sha256:
            self._monitors.move_to_end(source)
            return known
        monitor = self._monitors[source] = DriftMonitor(self._settings, ensemble.card.member_ids)
        self._members[source] = ensemble.bundle.sha256
        if len(self._monitors) > _MOST_SOURCES:
            gone, _ = self._monitors.popitem(last=False)
            del self._members[gone]
            self._frames.pop(gone, None)
        self._look_who_is_blamed()
        return monitor


def _subjects(monitor: DriftMonitor) -> tuple[str, ...]:
    return (*monitor.snapshot().members, "scene", "instrument", "unattributed")


def _with(settings: DriftSettings, monitor: DriftMonitor) -> DriftMonitor:
    return DriftMonitor.restore(settings, monitor.snapshot().members, monitor.as_json())


def _scan(frame: Frame, channel: str) -> ScanKey:
    image = frame.channels[channel]
    return ScanKey(
        shape=(image.shape[0], image.shape[1]),
        pixel_size_nm=pixel_size_in_nm(frame.pixel_size, frame.pixel_unit),
        fov_nm=frame.fov_nm,
        dwell_us=frame.dwell_us,
        channel=channel,
        source=frame.source,
    )
