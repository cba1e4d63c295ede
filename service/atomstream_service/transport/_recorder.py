"""From the engine to a recorder: a bounded queue, of which the engine knows when it is full."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import zmq
from zmq.utils.monitor import recv_monitor_message

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
        self._monitor = self._socket.get_monitor_socket(zmq.EVENT_CONNECTED | zmq.EVENT_DISCONNECTED)
        self._connected = False
        connect(self._socket, endpoint)

    def wait_for_room(self, timeout_s: float) -> bool:
        """Wait until a message can be sent; False after the timeout, and where that is not above 0."""
        return timeout_s > 0 and bool(self._socket.poll(int(1000 * timeout_s), zmq.POLLOUT))

    def send(self, parts: Sequence[Any]) -> bool:
        """Send a message; False where there is no room. Large parts go out from their own memory, so they must not change afterwards."""
        try:
            self._socket.send_multipart(parts, zmq.DONTWAIT, copy=False)
        except zmq.Again:
            return False
        return True

    def close(self, linger_s: float = 0.0) -> None:
        """Close once the reader has left, or after `linger_s` seconds.

        A reader that is full and finds its sender gone loses what the system still holds for it: libzmq then reads no more from that
        connection (`stream_engine_base.cpp`, `in_event_internal`: an error while input is stopped). So the reader is to go first.
        """
        deadline = time.monotonic() + linger_s
        while self.has_reader and (left_s := deadline - time.monotonic()) > 0:
            self._monitor.poll(int(1000 * left_s) + 1)
        self._socket.disable_monitor()
        self._monitor.close()
        self._socket.close()

    @property
    def has_reader(self) -> bool:
        """Whether a reader is connected."""
        while self._monitor.poll(0):
            self._connected = recv_monitor_message(self._monitor)["event"] == zmq.EVENT_CONNECTED
        return self._connected


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
