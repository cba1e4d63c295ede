"""The watch over drift once more, from what a recording holds of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ._events import DriftEvent
from ._policy import QuarantineDecision
from ._settings import DriftSettings, QuarantineSettings
from ._stream_watch import StreamWatch
from ._watched import Known, WatchChange, Watched


@dataclass(frozen=True)
class Rejudged:
    """One frame, judged again.

    frame : its number in the recording
    recorded : as it was judged then
    events, decisions : as it is judged now; None where nothing is known of the stream yet, or frames are missing before this one
    """

    frame: int
    source: str
    recorded: Watched
    events: tuple[DriftEvent, ...] | None
    decisions: tuple[QuarantineDecision, ...] | None

    @property
    def same(self) -> bool:
        """Whether it was judged, with the same outcome as then."""
        return self.events == self.recorded.events and self.decisions == self.recorded.decisions


@dataclass
class _Stream:
    watch: StreamWatch
    changes: int


def judge_again(
    frames: Iterable[tuple[int, str, Watched]], settings: DriftSettings | None = None, quarantine: QuarantineSettings | None = None
) -> Iterator[Rejudged]:
    """Judge recorded frames again, each source for itself; with the settings that held then, the outcome is the same.

    frames : number in the recording, source and record of each frame
    settings, quarantine : others to judge by, None for those that held; what was known at the beginning stays as it was learned. Members
        that would have been taken out still count on the frames after, as they did then
    """
    streams: dict[str, _Stream] = {}
    for frame, source, recorded in frames:
        stream = streams.get(source)
        if stream is not None and recorded.number == stream.watch.seen + 1:
            for change in recorded.changes:
                _tell(stream, change, settings, quarantine)
            verdict = stream.watch.see(recorded.scores, recorded.scan, recorded.states)
            yield Rejudged(frame, source, recorded, verdict.events, verdict.decisions)
            continue
        streams.pop(source, None)
        if recorded.known is not None:
            streams[source] = _resume(recorded, recorded.known, settings, quarantine)
        yield Rejudged(frame, source, recorded, None, None)


def _resume(recorded: Watched, known: Known, settings: DriftSettings | None, quarantine: QuarantineSettings | None) -> _Stream:
    watch = StreamWatch.restore(settings or known.settings, quarantine or known.quarantine, tuple(recorded.states), known.watch)
    return _Stream(watch, known.changes)


def _tell(stream: _Stream, change: WatchChange, settings: DriftSettings | None, quarantine: QuarantineSettings | None) -> None:
    if change.number <= stream.changes:
        return
    stream.changes = change.number
    if change.acknowledged is not None:
        stream.watch.acknowledge(change.acknowledged)
    else:
        stream.watch.change(settings or change.settings or stream.watch.settings, quarantine or change.quarantine or stream.watch.quarantine)
