"""From the engine to a recorder: a bounded queue, of which the engine knows when it is full."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import zmq

from ._socket import bind, connect, new_socket


class PushSocket:
    """Sends messages to one reader and never waits; used from one thread at a time.

    depth : messages that may wait on this side
    """

    def __init__(self, endpoint: str, depth: int) -> None:
        self._socket = new_socket(zmq.PUSH)
        self._socket.setsockopt(zmq.SNDHWM, depth)
        # Without a reader nothing is queued: a message that nobody will fetch would count as sent.
        self._socket.setsockopt(zmq.IMMEDIATE, 1)
        connect(self._socket, endpoint)

    def send(self, parts: Sequence[Any], wait_ms: int = 0) -> bool:
        """Send a message; False where there is no room after `wait_ms`. Large parts go out from their own memory, so they must not change afterwards."""
        if wait_ms:
            self._socket.poll(wait_ms, zmq.POLLOUT)
        try:
            self._socket.send_multipart(parts, zmq.DONTWAIT, copy=False)
        except zmq.Again:
            return False
        return True

    def close(self, linger_s: float = 0.0) -> None:
        """Close; what was sent may leave for `linger_s` seconds more, in the background."""
        self._socket.close(linger=int(1000 * linger_s))


class PullSocket:
    """Receives messages; used from one thread.

    depth : messages that may wait on this side
    """

    def __init__(self, endpoint: str, depth: int, patience_s: float = 5.0) -> None:
        self._socket = new_socket(zmq.PULL)
        self._socket.setsockopt(zmq.RCVHWM, depth)
        bind(self._socket, endpoint, patience_s)
        self.endpoint: str = self._socket.getsockopt_string(zmq.LAST_ENDPOINT).rstrip("\0")

    def receive(self, timeout_ms: int) -> Sequence[Any] | None:
        """The parts of the next message as buffers on ZeroMQ's own memory, or None after the timeout."""
        if not self._socket.poll(timeout_ms):
            return None
        return [part.buffer for part in self._socket.recv_multipart(copy=False)]

    def close(self) -> None:
        self._socket.close()
