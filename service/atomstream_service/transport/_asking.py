"""Frames from a server that sends one when it is asked."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import zmq
from zmq.utils.monitor import recv_monitor_message

from ..config import FramesEndpoint
from ._socket import connect, new_socket


class AskingSocket:
    """Says `next` to a REP socket and waits for the answer, whenever the one before has come; used from one thread.

    A REQ socket would wait for ever for a server that went away in between; this one asks again once a server is there.
    """

    def __init__(self, config: FramesEndpoint) -> None:
        self._socket = new_socket(zmq.DEALER)
        # Nothing is asked of a server that is not there: it would answer that, too, once it comes.
        self._socket.setsockopt(zmq.IMMEDIATE, 1)
        self._monitor = self._socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
        self._asked = False
        connect(self._socket, config.endpoint)

    def receive(self, timeout_ms: int) -> Sequence[Any] | None:
        """The parts of the next answer as buffers on ZeroMQ's own memory, or None after the timeout."""
        while self._monitor.poll(0):
            recv_monitor_message(self._monitor)
            self._asked = False  # whoever was asked before has gone
        if not self._asked and not self._ask(timeout_ms):
            return None
        if not self._socket.poll(timeout_ms):
            return None
        _, *parts = self._socket.recv_multipart(copy=False)
        self._asked = False
        return [part.buffer for part in parts]

    def _ask(self, timeout_ms: int) -> bool:
        """Ask whoever is there; False where nobody is."""
        if self._socket.poll(timeout_ms, zmq.POLLOUT):
            with contextlib.suppress(zmq.Again):
                self._socket.send_multipart([b"", b"next"], zmq.DONTWAIT)
                self._asked = True
        return self._asked

    def close(self) -> None:
        self._socket.disable_monitor()
        self._monitor.close()
        self._socket.close()
