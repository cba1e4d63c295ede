"""The last frames, always kept, and recorders that are handed every frame."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from atomstream_models.recording import DriftScores, RecordedFrame

from ..drift import FrameScores, Known, Watched, encode_watched
from ..record import ROOM_BYTES, RecorderFeed, Ring
from ..transport import CommandRefused, PushSocket
from ._work import Active, Finished

_SCORES = ("divergence", "misplaced", "count")
_ROOM_S = 30.0
_TAKEN_S = 50.0
"""For a recorder to write frames of the ring alone; whoever asked waits a little longer."""
_THERE_S = 2.0
_LOOK_S = 0.2
_KNOWN_AGAIN = 20
"""Frames after which all that is known is recorded again, where some were dropped."""

WatchedOf = Callable[[Finished], Watched | None]
KnownOf = Callable[[str], Known | None]


@dataclass
class _Recorder:
    """A recorder at work.

    told : checksum of the ensemble that it was told of last
    watched : source -> watch over drift and number of the frame that it was handed last, as that counts them
    known : the same of the last one with all that was known
    """

    feed: RecorderFeed
    maps: bool
    told: str = ""
    watched: dict[str, tuple[str, int]] = field(default_factory=dict)
    known: dict[str, tuple[str, int]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def hand_over(self, active: Active, item: RecordedFrame, watched: Watched | None, known: KnownOf) -> None:
        source = item.report.source
        with self.lock:
            if watched is not None and self._has_lost_track(source, watched):
                item = replace(item, watched=encode_watched(replace(watched, known=known(source))))
                self.known[source] = (watched.run, watched.number)
            bundle = active.ensemble.bundle
            if self.told != bundle.sha256:
                self.told = bundle.sha256
                card = bundle.card
                self.feed.ensemble(card.name, card.version, bundle.sha256, card.model_dump(mode="json"))
            if not self.feed.add(item):
                self.watched.pop(source, None)
            elif watched is not None:
                self.watched[source] = (watched.run, watched.number)

    def _has_lost_track(self, source: str, watched: Watched) -> bool:
        """Whether a frame does not follow on the last one, so that all that is known goes with it; not too often where frames are dropped all the time."""
        if watched.known is not None or self.watched.get(source) == (watched.run, watched.number - 1):
            return False
        run, number = self.known.get(source, ("", 0))
        return run != watched.run or watched.number - number >= _KNOWN_AGAIN


class Keeping:
    """What becomes of a frame's answer in memory and on disk.

    watched : what the watch over drift made of a frame, where it was judged
    known : what that knows of a source
    """

    def __init__(self, ring_bytes: int, ring_frames: int, watched: WatchedOf, known: KnownOf) -> None:
        self.ring = Ring(ring_bytes, ring_frames)
        self._ring_bytes = ring_bytes
        self._watched = watched
        self._known = known
        self._lock = threading.Lock()
        self._recorders: dict[str, _Recorder] = {}

    def keep(self, finished: Finished) -> None:
        """Keep a frame of the stream."""
        answer, job = finished.answer, finished.job
        watched = self._watched(finished)
        item = RecordedFrame.of(job.frame, finished.report, answer.atoms)
        if watched is not None:
            item = replace(item, drift=_as_rows(watched.scores), watched=encode_watched(watched))
        with self._lock:
            self.ring.add(item)
            recorders = list(self._recorders.values())
        for one in recorders:
            one.hand_over(finished.active, replace(item, mean=answer.mean, std=answer.std) if one.maps else item, watched, self._known)

    def start(self, name: str, endpoint: str, maps: bool, active: Active, ring: Mapping[str, Any] | None = None) -> int:
        """Hand every frame from now on to a recorder, after frames of the ring if there are to be any; how many of those.

        No frame is missing or double where the ring's end and what comes after it meet. A recorder that is handed frames already is left as
        it is; one that has gone makes way for another of its name.

        active : what answers now
        ring : which of the ring's frames, as `Ring.select` names them; None for none

        Raises
        ------
        CommandRefused
            where the name is taken by another one, or nobody is at the endpoint.
        """
        feed = RecorderFeed(endpoint, maps=maps, room_bytes=ROOM_BYTES + (0 if ring is None else self._ring_bytes))
        if not _is_taken(feed, _ROOM_S):
            feed.close(0.0)
            raise CommandRefused("no_recorder", f"no recorder answers for {name}")
        before = self._recorders.get(name)
        makes_way = before is not None and before.feed.endpoint != endpoint and not _is_there(before.feed.endpoint)
        with self._lock:
            known = self._recorders.get(name)
            if known is not None and not (makes_way and known is before):
                feed.close(0.0)
                if known.feed.endpoint != endpoint:
                    raise CommandRefused("recorded_already", f"{name} is being recorded by another recorder already")
                return 0
            count = 0 if ring is None else self._hand_over_ring(feed, ring, active)
            self._recorders[name] = _Recorder(feed, maps, told=active.ensemble.bundle.sha256 if count else "")
        if known is not None:
            known.feed.close(0.0)
        return count

    def stop(self, name: str, endpoint: str, patience_s: float) -> dict[str, int]:
        """Stop handing frames to a recorder; how many it was handed, and how many it could not take.

        endpoint : the recorder's; another one of that name goes on
        patience_s : for a recorder that is still there to take what it was handed
        """
        with self._lock:
            recorder = self._recorders.get(name)
            if recorder is None or recorder.feed.endpoint != endpoint:
                return {"sent": 0, "dropped": 0}
            del self._recorders[name]
        _is_taken(recorder.feed, patience_s)
        with recorder.lock:
            recorder.feed.close()
        return {"sent": recorder.feed.sent, "dropped": recorder.feed.dropped}

    def copy_ring(self, endpoint: str, selection: Mapping[str, Any], active: Active) -> int:
        """Send frames of the ring to a recorder, and none after them; how many, once it has taken them all.

        Raises
        ------
        CommandRefused
            where it does not take them.
        """
        feed = RecorderFeed(endpoint, room_bytes=self._ring_bytes)
        count = self._hand_over_ring(feed, selection, active)
        taken = _is_taken(feed, _TAKEN_S)
        feed.close()
        if not taken:
            raise CommandRefused("no_recorder", f"the recorder has ended before it took all {count} frames, or takes longer than {_TAKEN_S:g} s")
        return count

    def _hand_over_ring(self, feed: RecorderFeed, selection: Mapping[str, Any], active: Active) -> int:
        """They wait at the feed, which has room for all that a ring can hold, in the memory that they have in the ring."""
        items = self.select(selection)
        if items:
            bundle = active.ensemble.bundle
            feed.ensemble(bundle.card.name, bundle.card.version, bundle.sha256, bundle.card.model_dump(mode="json"))
        for item in items:
            feed.add(item)
        return len(items)

    def select(self, selection: Mapping[str, Any]) -> list[RecordedFrame]:
        """Frames of the ring, as `Ring.select` names them."""
        chosen = dict(selection)
        if chosen.get("frames") is not None:
            chosen["frames"] = [(str(session), int(seq)) for session, seq in chosen["frames"]]
        return self.ring.select(**chosen)

    def summary(self) -> dict[str, Any]:
        """What the ring holds, and who records."""
        held = asdict(self.ring.summary())
        with self._lock:
            recorders = {name: {"sent": one.feed.sent, "dropped": one.feed.dropped} for name, one in self._recorders.items()}
        return {"ring": held, "recorders": recorders, "t": time.time()}

    def close(self) -> None:
        for name, one in list(self._recorders.items()):
            self.stop(name, one.feed.endpoint, 0.0)


def _is_there(endpoint: str) -> bool:
    """Whether a recorder answers at an endpoint."""
    socket = PushSocket(endpoint, 1)
    try:
        return socket.wait_for_room(_THERE_S)
    finally:
        socket.close()


def _is_taken(feed: RecorderFeed, patience_s: float) -> bool:
    """Wait until a recorder has taken all that it was handed; False where it has gone, or that takes too long."""
    deadline = time.monotonic() + patience_s
    while (left_s := deadline - time.monotonic()) > 0:
        if feed.wait_ready(min(left_s, _LOOK_S)):
            return True
        if not _is_there(feed.endpoint):
            return False
    return False


def _as_rows(scores: FrameScores) -> DriftScores | None:
    if not scores.members:
        return None
    rows = {**scores.members, **scores.shadows}
    values = np.array([[getattr(one, name) for name in _SCORES] for one in rows.values()], np.float32)
    return DriftScores(tuple(rows), _SCORES, values)
