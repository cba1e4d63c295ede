"""The loop of a recorder process."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from threading import Event
from typing import Any

from atomstream_wire import WireError

from ..logs import Throttle
from ..transport import PullSocket
from ._errors import RecordingFailed
from ._messages import Answering, Closing, Framed, Journaled, Opening, decode_message
from ._spec import RecorderReport, RecorderSpec, RecorderState
from ._writer import About, RecordingWriter

often = Throttle(logging.getLogger(__name__))

_TURN_MS = 50
_SILENCE_MS = 2000
"""After the end, no message for this long means that none is on its way: a sender that ended properly has said goodbye, one that was killed can't."""
_LONGEST_END_S = 10.0


class Recorder:
    """Writes what comes until it is told to end, or a limit is reached.

    ended : set by whoever wants it to end; messages that are on their way are still written
    say : called with every report

    Raises
    ------
    RecordingRefused, RecordingFailed
        where the file is there already, or can't be written.
    AddressUnusable
        where it can't listen.
    """

    def __init__(self, spec: RecorderSpec, ended: Event, say: Callable[[RecorderReport], None]) -> None:
        self._spec = spec
        self._ended = ended
        self._say = say
        self._refused = 0
        self._senders = 0
        self._socket = PullSocket(spec.endpoint, spec.depth)
        about = About(spec.title, spec.reason, spec.actor)
        least = spec.limits.least_free_bytes
        self._writer = RecordingWriter(spec.path, about, compression=spec.compression, commit_s=spec.commit_s, least_free_bytes=least)

    def run(self) -> bool:
        """Record; True where the recording is whole, False where it failed."""
        try:
            because = self._record()
            self._socket.close()
            self._writer.finish(because)
        except RecordingFailed as error:
            self._report("failed", error=str(error))
            return False
        self._report("finished", because=because)
        return True

    def _record(self) -> str:
        """Why it ended."""
        began = said = time.monotonic()
        last_turn: float | None = None
        self._report("recording")
        while (because := self._limit(began)) is None:
            if last_turn is None and self._ended.is_set():
                last_turn = time.monotonic() + _LONGEST_END_S
            parts = self._socket.receive(_SILENCE_MS if last_turn is not None and self._senders else _TURN_MS)
            if parts is not None:
                self._take(parts)
            if last_turn is not None and (parts is None or time.monotonic() > last_turn):
                return "stopped"
            self._writer.poll()
            if time.monotonic() - said >= self._spec.report_s:
                said = time.monotonic()
                self._report("recording")
        return because

    def _take(self, parts: Sequence[Any]) -> None:
        try:
            message = decode_message(parts)
        except WireError as error:
            often.say(logging.WARNING, "refused", f"{self._spec.title}: a message can't be recorded: {error}", code=error.code)
            self._refused += 1
            self._writer.lost(1)
            return
        match message:
            case Framed(item):
                self._writer.add(item)
            case Journaled(entry):
                self._writer.journal(entry)
            case Answering(name, version, sha256, card):
                self._writer.ensemble(name, version, sha256, card)
            case Opening():
                self._senders += 1
            case Closing(lost):
                self._writer.lost(lost)
                self._senders -= 1

    def _limit(self, began: float) -> str | None:
        limits = self._spec.limits
        if limits.max_frames is not None and self._writer.frames >= limits.max_frames:
            return "max_frames"
        if limits.max_bytes is not None and self._writer.bytes >= limits.max_bytes:
            return "max_bytes"
        if limits.max_seconds is not None and time.monotonic() - began >= limits.max_seconds:
            return "max_seconds"
        return None

    def _report(self, state: RecorderState, *, because: str = "", error: str = "") -> None:
        writer = self._writer
        self._say(
            RecorderReport(
                state=state,
                endpoint=self._socket.endpoint,
                frames=writer.frames,
                bytes=writer.bytes,
                dropped=writer.dropped,
                refused=self._refused,
                because=because,
                error=error,
            )
        )
