"""The watch over drift once more, from what a recording holds of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from ..drift_settings import DriftSettings, QuarantineSettings
from ._events import DriftEvent
from ._policy import QuarantineDecision
from ._stream_watch import StreamWatch
from ._watched import WatchChange, Watched


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


Settings = tuple[DriftSettings, QuarantineSettings]


@dataclass
class _Stream:
    run: str
    watch: StreamWatch
    changes: int


def _as_then(settings: DriftSettings, quarantine: QuarantineSettings) -> Settings:
    return settings, quarantine


def judge_again(frames: Iterable[tuple[int, str, Watched]], by: Callable[[DriftSettings, QuarantineSettings], Settings] = _as_then) -> Iterator[Rejudged]:
    """Judge recorded frames again, each source for itself; with the settings that held then, the outcome is the same.

    frames : number in the recording, source and record of each frame
    by : the settings to judge by in place of those that held; what was known at the beginning stays as it was learned. Members that would have
        been taken out still count on the frames after, as they did then
    """
    streams: dict[str, _Stream] = {}
    for frame, source, recorded in frames:
        stream = streams.get(source)
        if stream is not None and (recorded.run, recorded.number) == (stream.run, stream.watch.seen + 1):
            for change in recorded.changes:
                _tell(stream, change, by)
            verdict = stream.watch.see(recorded.scores, recorded.scan, recorded.states)
            yield Rejudged(frame, source, recorded, verdict.events, verdict.decisions)
            continue
        streams.pop(source, None)
        if recorded.known is not None:
            known = recorded.known
            watch = StreamWatch.restore(*by(known.settings, known.quarantine), tuple(recorded.states), known.watch)
            streams[source] = _Stream(recorded.run, watch, known.changes)
        yield Rejudged(frame, source, recorded, None, None)


def _tell(stream: _Stream, change: WatchChange, by: Callable[[DriftSettings, QuarantineSettings], Settings]) -> None:
    if change.number <= stream.changes:
        return
    stream.changes = change.number
    if change.acknowledged is not None:
        stream.watch.acknowledge(change.acknowledged)
    else:
        stream.watch.change(*by(change.settings or stream.watch.settings, change.quarantine or stream.watch.quarantine))
