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
_LEAST_DEPTH, _MOST_DEPTH = 4, 1024


class RecorderFeed:
    """Hands frames to a recorder and never waits for it; safe to use from several threads.

    Where the recorder does not keep up, or has ended, frames are dropped and counted; the count travels with the next one, so the file
    says where frames are missing. Images go out from their own memory, which must not change afterwards.

    endpoint : where the recorder receives
    maps : record maps, too
    room_bytes : how much may wait here; never less than four frames, nor more than 1024

    sent, dropped : frames handed over, and not
    """

    def __init__(self, endpoint: str, *, maps: bool = False, room_bytes: int = ROOM_BYTES) -> None:
        self.endpoint = endpoint
        self.sent = 0
        self.dropped = 0
        self._maps = maps
        self._unsaid = 0
        self._room_bytes = room_bytes
        self._depth = _LEAST_DEPTH
        self._lock = threading.Lock()
        self._waiting: deque[Message] = deque([Opening()])
        self._socket: PushSocket | None = PushSocket(endpoint, _LEAST_DEPTH)

    def wait_ready(self, timeout_s: float) -> bool:
        """Wait until the recorder is there, so that not even the first frame is dropped; False after the timeout."""
        deadline = time.monotonic() + timeout_s
        with self._lock:
            while self._socket is not None and self._socket.wait_for_room(deadline - time.monotonic()):
                if not self._waiting:
                    return True
                self._say_waiting()
            return False

    def add(self, item: RecordedFrame) -> bool:
        """Hand over a frame; False if it was dropped and counted."""
        if not self._maps:
            item = replace(item, mean=None, std=None)
        with self._lock:
            self._make_room(item.nbytes)
            out = self._say_waiting() and self._send(Framed(replace(item, dropped_before=self._unsaid)))
            if out:
                self.sent += 1
                self._unsaid = 0
            else:
                self.dropped += 1
                self._unsaid += 1
            return out

    def journal(self, entry: Mapping[str, Any]) -> None:
        """Hand over an entry of the journal, before the next frame at the latest."""
        self._say(Journaled(entry))

    def ensemble(self, name: str, version: str, sha256: str, card: Mapping[str, Any]) -> None:
        """Hand over an ensemble that answers from the next frame on, before that frame."""
        self._say(Answering(name, version, sha256, card))

    def close(self, linger_s: float = 30.0) -> None:
        """Say goodbye and close, up to `linger_s` seconds later and without anybody waiting: the recorder is to fetch what was sent, and to end first."""
        with self._lock:
            if self._socket is None:
                return
            self._waiting.append(Closing(self._unsaid))
            socket, self._socket = self._socket, None
        threading.Thread(target=self._leave, args=(socket, linger_s), name="recorder-feed", daemon=True).start()

    def _leave(self, socket: PushSocket, linger_s: float) -> None:
        deadline = time.monotonic() + linger_s
        with self._lock:
            messages = list(self._waiting)
        for message in messages:
            parts = encode_message(message)
            while not socket.send(parts):
                if not socket.wait_for_room(deadline - time.monotonic()):
                    # The recorder has ended, or hangs.
                    break
        socket.close(deadline - time.monotonic())

    def _make_room(self, frame_bytes: int) -> None:
        depth = min(_MOST_DEPTH, max(_LEAST_DEPTH, self._room_bytes // max(1, frame_bytes)))
        if depth != self._depth and self._socket is not None:
            self._depth = depth
            self._socket.deepen(depth)

    def _say(self, message: Message) -> None:
        with self._lock:
            self._waiting.append(message)
            self._say_waiting()

    def _say_waiting(self) -> bool:
        """Send what must not be dropped; False where some of it still waits."""
        while self._waiting:
            if not self._send(self._waiting[0]):
                return False
            self._waiting.popleft()
        return True

    def _send(self, message: Message) -> bool:
        return self._socket is not None and self._socket.send(encode_message(message))
