"""Drift, watched for on every stream that the engine answers."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from atomstream_models.lengths import pixel_size_in_nm
from atomstream_wire import Event, Frame

from ..drift import DriftSettings, FrameScores, Known, QuarantineSettings, ScanKey, StreamWatch, Verdict, WatchChange, Watched, score_frame
from ._work import Finished

log = logging.getLogger(__name__)

_MOST_SOURCES = 64
_REMEMBERED = 1000
_KNOWN_EVERY = 25
"""Judged frames from one record that says all that is known to the next, so that a part of the ring can be judged again, too; a quarter of the
reference's length where that is more, since what is being learned grows with it."""
_MOST_CHANGES = 1000
"""Changes that are remembered for a source without frames."""

Say = Callable[[Event], None]


@dataclass
class _Stream:
    """One source.

    sha256 : the ensemble that is watched; with another one, what is normal is learned anew and alarms are gone
    run : which watch this is, in records
    frames : of the source so far, judged or not
    known_at : number of the last record that said all that was known
    changes : what the watch was told since the last frame
    """

    watch: StreamWatch
    sha256: str
    run: str = field(default_factory=lambda: uuid.uuid4().hex)
    frames: int = 0
    known_at: int | None = None
    changes: list[WatchChange] = field(default_factory=list)


class DriftWatch:
    """A watch for each source, and what they said lately. Frames come on one thread, questions on any."""

    def __init__(self, settings: DriftSettings, quarantine: QuarantineSettings, say: Say) -> None:
        self._settings = settings
        self._quarantine = quarantine
        self._say = say
        self._changed = threading.Condition()
        self._streams: OrderedDict[str, _Stream] = OrderedDict()
        self._told: deque[dict[str, Any]] = deque(maxlen=_REMEMBERED)
        self._told_count = 0
        self._changes = 0
        self._last: tuple[Finished, Watched] | None = None
        self._blamed: frozenset[str] = frozenset()

    def see(self, finished: Finished) -> None:
        """Judge a frame of the stream."""
        with self._changed:
            stream = self._stream(finished)
            stream.frames += 1
            if stream.frames % self._settings.every:
                return
        shadows = finished.shadows()
        beside = {} if shadows is None else dict.fromkeys(shadows.members_used, shadows)
        card, report, job = finished.active.ensemble.card, finished.report, finished.job
        scores = score_frame(report.seq, job.image, finished.inferred, card, beside, complete=job.frame.complete)
        with self._changed:
            self._judge(stream, finished, scores)
            self._changed.notify_all()

    def doubts(self, source: str) -> bool:
        """Whether an alarm stands on the frames of a source; asked for every frame, so it takes no lock."""
        return source in self._blamed

    def watched(self, finished: Finished) -> Watched | None:
        """What was made of a frame, if it was the last one judged."""
        return self._last[1] if self._last is not None and self._last[0] is finished else None

    def known(self, source: str) -> Known | None:
        """All that is known of a source now."""
        with self._changed:
            stream = self._streams.get(source)
            return None if stream is None else self._known(stream)

    def after(self, number: int, timeout_s: float) -> dict[str, Any]:
        """How every source stands, and the alarms and decisions after one, as soon as there are some or the time is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._told_count > number, timeout_s)
            return {
                "sources": {source: stream.watch.snapshot().as_json() for source, stream in self._streams.items()},
                "ensembles": {source: stream.sha256 for source, stream in self._streams.items()},
                "told": [one for one in self._told if one["number"] > number],
                "number": self._told_count,
                "settings": self._settings.model_dump(mode="json"),
                "quarantine": self._quarantine.model_dump(mode="json"),
            }

    def acknowledge(self, subject: str, source: str | None) -> bool:
        """Release an alarm, of one source or all; whether there was one."""
        with self._changed:
            released = False
            for name, stream in self._streams.items():
                if source in (None, name) and subject in stream.watch.subjects:
                    released |= stream.watch.acknowledge(subject)
                    self._note(stream, acknowledged=subject)
            self._look_who_is_blamed()
            return released

    def change(self, settings: DriftSettings, quarantine: QuarantineSettings) -> None:
        """Watch and decide in another way from now on; what was learned is kept."""
        with self._changed:
            self._settings, self._quarantine = settings, quarantine
            for stream in self._streams.values():
                stream.watch.change(settings, quarantine)
                self._note(stream, settings=settings, quarantine=quarantine)

    def as_json(self) -> dict[str, Any]:
        """All that is known, for an engine that comes after this one."""
        with self._changed:
            return {source: {"ensemble": stream.sha256, "watch": stream.watch.as_json()} for source, stream in self._streams.items()}

    def restore(self, state: Mapping[str, Any], members_of: Callable[[str], tuple[str, ...] | None]) -> None:
        """Go on where another engine stopped.

        members_of : checksum of an ensemble -> its members, None where it is another one by now
        """
        with self._changed:
            for source, held in state.items():
                try:
                    sha256 = held["ensemble"]
                    if (members := members_of(sha256)) is not None:
                        watch = StreamWatch.restore(self._settings, self._quarantine, members, held["watch"])
                        self._streams[source] = _Stream(watch, sha256)
                except (KeyError, TypeError, ValueError) as error:
                    log.warning("what was known of drift on %s can't be used, it is learned anew: %s", source, error)
            self._look_who_is_blamed()

    def _stream(self, finished: Finished) -> _Stream:
        source, ensemble = finished.report.source, finished.active.ensemble
        known = self._streams.get(source)
        if known is not None and known.sha256 == ensemble.bundle.sha256:
            self._streams.move_to_end(source)
            return known
        stream = self._streams[source] = _Stream(StreamWatch(self._settings, self._quarantine, ensemble.card.member_ids), ensemble.bundle.sha256)
        if len(self._streams) > _MOST_SOURCES:
            self._streams.popitem(last=False)
        self._look_who_is_blamed()
        return stream

    def _judge(self, stream: _Stream, finished: Finished, scores: FrameScores) -> None:
        scan, states = _scan(finished.job.frame, finished.job.channel), finished.active.states
        verdict = stream.watch.see(scores, scan, states)
        watched = Watched(stream.run, stream.watch.seen, scores, scan, states, tuple(stream.changes), verdict.events, verdict.decisions)
        stream.changes.clear()
        if stream.known_at is None or watched.number - stream.known_at >= max(_KNOWN_EVERY, self._settings.window // 4):
            watched = replace(watched, known=self._known(stream))
            stream.known_at = watched.number
        self._last = (finished, watched)
        if verdict.events or verdict.decisions:
            self._tell(finished, verdict)
        if verdict.events:
            self._look_who_is_blamed()

    def _tell(self, finished: Finished, verdict: Verdict) -> None:
        report = finished.report
        about = {"source": report.source, "session": report.session, "generation": report.ensemble.generation}
        for event in verdict.events:
            self._put({**about, **event.as_json()})
            self._say(Event("drift", time.time(), {**about, **event.as_json()}))
        for decision in verdict.decisions:
            self._put({**about, "kind": "quarantine", "ensemble": report.ensemble.sha256, "member": decision.member, "reason": decision.on(report.source)})

    def _put(self, told: Mapping[str, Any]) -> None:
        self._told_count += 1
        self._told.append({"number": self._told_count, **told})

    def _note(self, stream: _Stream, **what: Any) -> None:
        self._changes += 1
        if len(stream.changes) == _MOST_CHANGES:
            stream.changes.clear()
            stream.run, stream.known_at = uuid.uuid4().hex, None
        stream.changes.append(WatchChange(self._changes, **what))

    def _known(self, stream: _Stream) -> Known:
        return Known(stream.watch.as_json(), self._settings, self._quarantine, self._changes)

    def _look_who_is_blamed(self) -> None:
        self._blamed = frozenset(source for source, stream in self._streams.items() if stream.watch.snapshot().blamed)


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
