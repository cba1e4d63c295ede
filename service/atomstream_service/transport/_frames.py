"""Frames in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import zmq

from ..config import FramesEndpoint
from ._curve import CurveGuard
from ._socket import bind, connect, new_socket

_HIGH_WATER = 4
"""Messages that ZeroMQ may hold: few, because what waits is decided in the engine's slots, where it is counted."""


class FrameSocket:
    """A SUB or PULL socket, used from one thread.

    ZMQ_CONFLATE is never set: it aborts the process on multipart messages.

    guard : asks senders for a key; None takes frames from anybody
    """

    def __init__(self, config: FramesEndpoint, patience_s: float = 5.0, guard: CurveGuard | None = None) -> None:
        self._socket = new_socket(zmq.SUB if config.socket == "sub" else zmq.PULL)
        self._socket.set_hwm(_HIGH_WATER)
        if config.socket == "sub":
            self._socket.subscribe(b"")
        self._guard = guard
        if guard is not None:
            guard.protect(self._socket)
        if config.attach == "bind":
            bind(self._socket, config.endpoint, patience_s)
        else:
            connect(self._socket, config.endpoint)

    def receive(self, timeout_ms: int) -> Sequence[Any] | None:
        """The parts of the next message as buffers on ZeroMQ's own memory, or None after the timeout."""
        if not self._socket.poll(timeout_ms):
            return None
        return [part.buffer for part in self._socket.recv_multipart(copy=False)]

    def close(self) -> None:
        if self._guard is not None:
            self._guard.release(self._socket)
        self._socket.close()
