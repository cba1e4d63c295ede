"""Results out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import zmq

from ._curve import CurveGuard
from ._socket import bind, new_socket


class ResultSocket:
    """A PUB socket, used from one thread. A reader that falls `backlog` messages behind loses some; nobody waits for it.

    guard : asks readers for a key; None lets anybody read
    """

    def __init__(self, endpoint: str, backlog: int, patience_s: float = 5.0, guard: CurveGuard | None = None) -> None:
        self._socket = new_socket(zmq.PUB)
        self._socket.setsockopt(zmq.SNDHWM, backlog)
        self._guard = guard
        if guard is not None:
            guard.protect(self._socket)
        bind(self._socket, endpoint, patience_s)

    def send(self, parts: Sequence[Any]) -> None:
        """Send one message; large parts go out from their own memory, so they must not change afterwards."""
        self._socket.send_multipart(parts, copy=False)

    def close(self) -> None:
        if self._guard is not None:
            self._guard.release(self._socket)
        self._socket.close()
