"""The last frames, always kept, and recorders that are handed every frame."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from atomstream_models.recording import DriftScores, RecordedFrame

from ..drift import FrameScores
from ..record import RecorderFeed, Ring
from ..transport import CommandRefused
from ._work import Active, Finished

_SCORES = ("divergence", "misplaced", "count")
_ROOM_S = 30.0

ScoresOf = Callable[[Finished], FrameScores | None]


@dataclass
class _Recorder:
    """A recorder at work; told : checksum of the ensemble that it was told of last."""

    feed: RecorderFeed
    maps: bool
    told: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def hand_over(self, active: Active, item: RecordedFrame) -> None:
        with self.lock:
            bundle = active.ensemble.bundle
            if self.told != bundle.sha256:
                self.told = bundle.sha256
                card = bundle.card
                self.feed.ensemble(card.name, card.version, bundle.sha256, card.model_dump(mode="json"))
            self.feed.add(item)


class Keeping:
    """What becomes of a frame's answer in memory and on disk.

    scores_of : the drift scores of a frame, where it was judged
    """

    def __init__(self, ring_bytes: int, ring_frames: int, scores_of: ScoresOf) -> None:
        self.ring = Ring(ring_bytes, ring_frames)
        self._scores_of = scores_of
        self._lock = threading.Lock()
        self._recorders: dict[str, _Recorder] = {}

    def keep(self, finished: Finished) -> None:
        """Keep a frame of the stream."""
        answer, job = finished.answer, finished.job
        drift = _as_rows(self._scores_of(finished))
        item = RecordedFrame.of(job.frame, finished.report, answer.atoms, drift=drift)
        self.ring.add(item)
        with self._lock:
            recorders = list(self._recorders.values())
        for one in recorders:
            with_maps = RecordedFrame.of(job.frame, finished.report, answer.atoms, drift=drift, mean=answer.mean, std=answer.std) if one.maps else item
            one.hand_over(finished.active, with_maps)

    def start(self, name: str, endpoint: str, maps: bool) -> None:
        """Hand every frame from now on to a recorder.

        Raises
        ------
        CommandRefused
            where the name is taken, or nobody is at the endpoint.
        """
        feed = RecorderFeed(endpoint, maps=maps)
        if not feed.wait_ready(_ROOM_S):
            feed.close(0.0)
            raise CommandRefused("no_recorder", f"no recorder answers for {name}")
        with self._lock:
            if name in self._recorders:
                feed.close(0.0)
                raise CommandRefused("recorded_already", f"{name} is being recorded already")
            self._recorders[name] = _Recorder(feed, maps)

    def stop(self, name: str) -> dict[str, int]:
        """Stop handing frames to a recorder; how many it was handed, and how many it could not take."""
        with self._lock:
            recorder = self._recorders.pop(name, None)
        if recorder is None:
            return {"sent": 0, "dropped": 0}
        with recorder.lock:
            recorder.feed.close()
        return {"sent": recorder.feed.sent, "dropped": recorder.feed.dropped}

    def copy_ring(self, endpoint: str, selection: Mapping[str, Any], active: Active) -> int:
        """Send frames of the ring to a recorder, none of them dropped; how many."""
        feed = RecorderFeed(endpoint)
        try:
            bundle = active.ensemble.bundle
            feed.ensemble(bundle.card.name, bundle.card.version, bundle.sha256, bundle.card.model_dump(mode="json"))
            items = self.select(selection)
            for item in items:
                if not feed.wait_ready(_ROOM_S) or not feed.add(item):
                    raise CommandRefused("no_recorder", "the recorder does not take the frames")
            return len(items)
        finally:
            feed.close()

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
        for name in list(self._recorders):
            self.stop(name)


def _as_rows(scores: FrameScores | None) -> DriftScores | None:
    if scores is None or not scores.members:
        return None
    rows = {**scores.members, **scores.shadows}
    values = np.array([[getattr(one, name) for name in _SCORES] for one in rows.values()], np.float32)
    return DriftScores(tuple(rows), _SCORES, values)
