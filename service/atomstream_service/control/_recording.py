"""Recordings: recorders are started here and fed by the engine, and hear from here what is journalled."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..record import RecorderFeed, RecordingFailed, RecordingHandle, RecordingInfo, RecordingRequest, Recordings, RecordingState
from ..transport import CommandRefused, EngineUnavailable
from ._refusal import RequestRefused
from ._store import Entry, Store, StoreUnwritable
from ._types import Call

log = logging.getLogger(__name__)

_ENGINE_S = 60.0
_JOURNAL = 1000
"""Lines of the journal that a recording begins with at most."""
_READY_S = 30.0
_LOOK_S = 0.1
_LEAST_BYTES = 128 << 10
"""A file without frames has 25 kB, and 100 kB with the first line of the journal, since its tables grow in chunks."""
_AGAIN_S = 30.0
"""Between two attempts to have an engine feed a recorder."""


@dataclass
class _Running:
    """A recording at work, and the line on which it hears of the journal.

    told : id of the journal's last line that it has; None before the first
    telling : held while it is told lines, so that they come in order
    live : it is to get the frames that come
    fed_by : number of the engine that hands them over, as `Recording` counts them; None before the first
    tried : when an engine was asked to, on the monotonic clock
    """

    handle: RecordingHandle
    journal: RecorderFeed
    live: bool = False
    fed_by: int | None = None
    tried: float = 0.0
    told: int | None = None
    telling: threading.Lock = field(default_factory=threading.Lock)


class Recording:
    """Starts, lists, stops and deletes recordings.

    recordings : the folder
    call : the engine
    store : its journal goes into every recording
    """

    def __init__(self, recordings: Recordings, store: Store, call: Call) -> None:
        self._recordings = recordings
        self._store = store
        self._call = call
        self._lock = threading.Lock()
        self._running: dict[str, _Running] = {}
        self._engine = 0
        store.listen(self._journalled)

    def start(self, name: str, request: RecordingRequest, ring: Mapping[str, Any] | None, *, live: bool, generation: int) -> RecordingInfo:
        """Record the stream, or frames that the ring still holds, or both.

        ring : which of the ring's frames, as `Ring.select` names them; None for none
        live : go on with the frames that come

        Raises
        ------
        RecordingRefused, RecordingFailed
            where the name can't be used, or the recorder can't begin, or ends at once.
        EngineUnavailable, StoreUnwritable
            where nobody is there to hand frames over, or the journal can't be written; nothing is left behind.
        RequestRefused
            409 where only frames of the ring are wanted and it holds none of them, 422 for a limit that an empty file is beyond.
        """
        most = request.limits.max_bytes
        if most is not None and most < _LEAST_BYTES:
            raise RequestRefused(
                422, "limit_too_small", f"max_bytes is {most}: a recording without frames has about 100 kB already; allow {_LEAST_BYTES} at least"
            )
        handle = self._recordings.start(name, request)
        running = _Running(handle, RecorderFeed(handle.endpoint))
        try:
            _wait_for(running)
            with self._lock:
                self._running[name] = running
            self._tell(running)
            if live:
                self._feed(running, ring)
            elif not self._told_to_record(running, ring, live=False):
                raise RequestRefused(409, "nothing_to_record", "the ring holds no such frame")
        except Exception as error:
            ended = self._end(name)
            running.journal.close(0.0)
            at_its_limit = ended.state is RecordingState.FINISHED and ended.ended_because != "stopped"
            if not (at_its_limit and isinstance(error, CommandRefused | RecordingFailed)):
                self._recordings.delete(name)
                raise
        try:
            self._store.record(Entry(request.actor, "record", name, request.reason, None, {"ring": ring, "live": live}, generation), {})
        except StoreUnwritable:
            self._end(name)
            self._recordings.delete(name)
            raise
        return self._recordings.info(name) if live else self._end(name)

    def stop(self, name: str, actor: str, reason: str, generation: int) -> RecordingInfo:
        """End a recording; one that has ended is left as it is."""
        self._recordings.path(name)
        if name in self._running:
            self._store.note(Entry(actor, "end_recording", name, reason, None, None, generation))
        return self._end(name)

    def delete(self, name: str, actor: str, reason: str, generation: int) -> None:
        """Delete a recording that has ended.

        Raises
        ------
        RecordingRefused
            where there is none, or it is being written.
        """
        self.reap()
        self._recordings.delete(name)
        self._store.note(Entry(actor, "delete_recording", name, reason, None, None, generation))

    def list(self) -> list[RecordingInfo]:
        return self._recordings.list()

    def info(self, name: str) -> RecordingInfo:
        return self._recordings.info(name)

    def reap(self) -> None:
        """Let go of recorders that have ended by themselves (a limit was reached, or the disk is full), and try again to have the others fed."""
        for name, one in list(self._running.items()):
            if not one.handle.running:
                log.warning("recording %s has ended: %s", name, one.handle.report.error or one.handle.report.because)
                self._end(name)
            elif one.live and one.fed_by != self._engine and time.monotonic() - one.tried > _AGAIN_S:
                self._feed_again(one)

    def resume(self) -> None:
        """Have an engine that has just come up feed the recorders that still wait for frames; returns at once."""
        with self._lock:
            self._engine += 1
            running = [one for one in self._running.values() if one.live]
        for one in running:
            if one.handle.running:
                self._feed_again(one)

    def close(self) -> None:
        """End all recordings."""
        for name in list(self._running):
            self._end(name)
        self._recordings.close()

    def _feed_again(self, running: _Running) -> None:
        """Have the engine feed a recorder while nobody waits: it may take long to find out that one does not answer."""

        def feed() -> None:
            try:
                self._feed(running)
            except (EngineUnavailable, CommandRefused) as error:
                log.error("recording %s gets no frames: %s", running.handle.name, error)

        running.tried = time.monotonic()
        threading.Thread(target=feed, name=f"feeding-{running.handle.name}", daemon=True).start()

    def _feed(self, running: _Running, ring: Mapping[str, Any] | None = None) -> None:
        engine = self._engine
        running.live, running.tried = True, time.monotonic()
        self._told_to_record(running, ring, live=True)
        running.fed_by = engine
        with self._lock:
            ended_meanwhile = self._running.get(running.handle.name) is not running
        if ended_meanwhile:
            self._unrecord(running)

    def _told_to_record(self, running: _Running, ring: Mapping[str, Any] | None, *, live: bool) -> int:
        """Have the engine hand frames over, those of the ring first, without a gap between them and what comes; how many of the ring."""
        handle = running.handle
        wanted = {"name": handle.name, "endpoint": handle.endpoint, "maps": handle.request.maps, "ring": ring, "live": live}
        return int(self._call("record", wanted, timeout_s=_ENGINE_S).body["frames"])

    def _unrecord(self, running: _Running) -> None:
        """Have the engine hand over no more; by the endpoint, since another recorder may have the name by now."""
        self._call("unrecord", {"name": running.handle.name, "endpoint": running.handle.endpoint}, timeout_s=_ENGINE_S)

    def _end(self, name: str) -> RecordingInfo:
        with self._lock:
            running = self._running.pop(name, None)
        if running is not None:
            try:
                self._unrecord(running)
            except (EngineUnavailable, CommandRefused) as error:
                log.warning("recording %s ends without the engine: %s", name, error)
            self._tell(running)  # whoever has just journalled a line may not have come here yet
            running.journal.close()
        return self._recordings.stop(name)

    def _journalled(self, line: Mapping[str, Any]) -> None:
        with self._lock:
            running = list(self._running.values())
        for one in running:
            self._tell(one)

    def _tell(self, running: _Running) -> None:
        """Tell a recorder the lines of the journal that it does not have yet.

        They are read from the store, which numbers them: who journals at the same time may come here in another order than they were written in.
        """
        with running.telling:
            while lines := self._store.journal(running.told, _JOURNAL):
                for line in lines:
                    running.journal.journal(line)
                running.told = lines[-1]["id"]


def _wait_for(running: _Running) -> None:
    """Wait until a recorder hears of the journal, or has ended.

    Raises
    ------
    RecordingFailed
        where it does not.
    """
    handle, deadline = running.handle, time.monotonic() + _READY_S
    ready = False
    while not ready:
        ready = running.journal.wait_ready(_LOOK_S)
        if not handle.running:
            handle.stop()  # for its last report
            why = handle.report.error or handle.report.because or "nobody knows why"
            raise RecordingFailed(f"the recorder of {handle.name} has ended before anything could be recorded: {why}")
        if not ready and time.monotonic() > deadline:
            raise RecordingFailed(f"the recorder of {handle.name} does not take anything within {_READY_S:g} s")
