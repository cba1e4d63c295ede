"""The engine's side of a recording."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from atomstream_models.recording import RecordedFrame

from ..transport import PushSocket
from ._messages import Answering, Closing, Framed, Journaled, Message, Opening, encode_message

ROOM_BYTES = 256 << 20
"""Frames that may wait for a recorder whose disk is slow for a moment; most of them are in the ring anyway."""
_DEPTH = 4
_LOOK_S = 0.1


class RecorderFeed:
    """Hands frames to a recorder and never waits for it; safe to use from several threads.

    Where the recorder does not keep up, or has ended, frames are dropped and counted; the count travels with the next one, so the file
    says where frames are missing. Images go out from their own memory, which must not change afterwards.

    endpoint : where the recorder receives
    maps : record maps, too
    room_bytes : frames of so many bytes may wait here; a single one may always

    sent, dropped : frames handed over, and not
    """

    def __init__(self, endpoint: str, *, maps: bool = False, room_bytes: int = ROOM_BYTES) -> None:
        self.endpoint = endpoint
        self.sent = 0
        self.dropped = 0
        self._maps = maps
        self._room_bytes = room_bytes
        self._unsaid = 0
        self._changed = threading.Condition()
        self._waiting: deque[tuple[Message, int]] = deque([(Opening(), 0)])
        self._waiting_bytes = 0
        self._deadline: float | None = None
        threading.Thread(target=self._run, name="recorder-feed", daemon=True).start()

    def wait_ready(self, timeout_s: float) -> bool:
        """Wait until the recorder has taken all that was said, so that not even the first frame is dropped; False after the timeout."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting or self._deadline is not None, timeout_s) and self._deadline is None

    def add(self, item: RecordedFrame) -> bool:
        """Hand over a frame; False if it was dropped and counted."""
        if not self._maps:
            item = replace(item, mean=None, std=None)
        size = item.nbytes
        with self._changed:
            if self._deadline is not None or (self._waiting_bytes and self._waiting_bytes + size > self._room_bytes):
                self.dropped += 1
                self._unsaid += 1
                return False
            self._say(Framed(replace(item, dropped_before=self._unsaid)), size)
            self.sent += 1
            self._unsaid = 0
            return True

    def journal(self, entry: Mapping[str, Any]) -> None:
        """Hand over an entry of the journal, before the next frame at the latest."""
        with self._changed:
            self._say(Journaled(entry))

    def ensemble(self, name: str, version: str, sha256: str, card: Mapping[str, Any]) -> None:
        """Hand over an ensemble that answers from the next frame on, before that frame."""
        with self._changed:
            self._say(Answering(name, version, sha256, card))

    def close(self, linger_s: float = 30.0) -> None:
        """Say goodbye and close, up to `linger_s` seconds later and without anybody waiting: the recorder is to fetch what was sent, and to end first."""
        with self._changed:
            if self._deadline is None:
                self._say(Closing(self._unsaid))
                self._deadline = time.monotonic() + linger_s

    def _say(self, message: Message, size: int = 0) -> None:
        if self._deadline is None:
            self._waiting.append((message, size))
            self._waiting_bytes += size
            self._changed.notify_all()

    def _run(self) -> None:
        """Send what waits, on a thread of its own: whoever hands something over is never held up by the recorder, nor by encoding it."""
        socket = PushSocket(self.endpoint, _DEPTH)
        while (message := self._first()) is not None and self._deliver(socket, message):
            with self._changed:
                _, size = self._waiting.popleft()
                self._waiting_bytes -= size
                self._changed.notify_all()
        with self._changed:
            lost = sum(isinstance(left, Framed) for left, _ in self._waiting)
            self.sent -= lost
            self.dropped += lost
            self._waiting.clear()
            self._waiting_bytes = 0
            left_s = 0.0 if self._deadline is None else self._deadline - time.monotonic()
        socket.close(left_s)

    def _first(self) -> Message | None:
        """What is to be sent next, once there is something; None after the last message."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._deadline is not None)
            return self._waiting[0][0] if self._waiting else None

    def _deliver(self, socket: PushSocket, message: Message) -> bool:
        """Send a message as soon as the recorder has room for it; False where this feed was closed and nobody takes it."""
        parts = encode_message(message)
        while not socket.send(parts):
            socket.wait_for_room(_LOOK_S)
            deadline = self._deadline
            if deadline is not None and (time.monotonic() > deadline or not socket.has_reader):
                return False
        return True
