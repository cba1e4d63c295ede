"""The last frames, always in memory, so that what was just seen can still be kept or learnt from."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from atomstream_models.recording import RecordedFrame


@dataclass(frozen=True)
class RingSummary:
    """What a ring holds.

    bytes : of images and atoms
    t_from, t_to : seconds since the epoch, receipt of the oldest and the newest frame; None where it is empty
    seqs : (session, seq) of each frame, oldest first
    sources : source -> how many frames of it
    """

    count: int
    bytes: int
    t_from: float | None
    t_to: float | None
    seqs: Sequence[tuple[str, int]]
    sources: Mapping[str, int]


class Ring:
    """The last frames with their atoms, without maps; bounded in number and bytes, safe to use from several threads.

    A frame is kept as it is, not copied; the ring holds on to the memory that it came in. One larger than `max_bytes` is not kept.

    Raises
    ------
    ValueError
        for bounds below 1.
    """

    def __init__(self, max_bytes: int, max_frames: int) -> None:
        if max_bytes < 1 or max_frames < 1:
            raise ValueError(f"a ring of {max_frames} frames and {max_bytes} bytes holds nothing")
        self._max_bytes = max_bytes
        self._max_frames = max_frames
        self._items: deque[RecordedFrame] = deque()
        self._bytes = 0
        self._lock = threading.Lock()

    def add(self, item: RecordedFrame) -> None:
        """Keep a frame; the oldest make way."""
        if item.mean is not None or item.std is not None:
            item = replace(item, mean=None, std=None)
        with self._lock:
            self._items.append(item)
            self._bytes += item.nbytes
            while len(self._items) > self._max_frames or self._bytes > self._max_bytes:
                self._bytes -= self._items.popleft().nbytes

    def clear(self) -> None:
        """Let all frames go."""
        with self._lock:
            self._items.clear()
            self._bytes = 0

    def summary(self) -> RingSummary:
        with self._lock:
            items, size = list(self._items), self._bytes
        sources: dict[str, int] = {}
        for one in items:
            sources[one.report.source] = sources.get(one.report.source, 0) + 1
        t_from, t_to = (items[0].report.t_recv, items[-1].report.t_recv) if items else (None, None)
        return RingSummary(len(items), size, t_from, t_to, [(one.report.session, one.report.seq) for one in items], sources)

    def select(
        self,
        *,
        last: int | None = None,
        t_from: float | None = None,
        t_to: float | None = None,
        frames: Collection[tuple[str, int]] | None = None,
        source: str | None = None,
    ) -> list[RecordedFrame]:
        """Frames, oldest first, that fulfil all that is given; `last` counts among those that fulfil the rest.

        last : this many of the newest
        t_from, t_to : received within these, seconds since the epoch, both included
        frames : these (session, seq) alone; those no longer there are left out
        source : of this instrument alone
        """
        with self._lock:
            items = list(self._items)
        wanted = None if frames is None else set(frames)
        found = [
            one
            for one in items
            if (source is None or one.report.source == source)
            and (wanted is None or (one.report.session, one.report.seq) in wanted)
            and (t_from is None or one.report.t_recv >= t_from)
            and (t_to is None or one.report.t_recv <= t_to)
        ]
        return found if last is None else found[max(0, len(found) - last) :]
