from __future__ import annotations

import time

import zmq

from ..errors import AtomstreamError


class AddressInUse(AtomstreamError):
    """A socket can't be bound because something else listens there."""


def bind(socket: zmq.Socket[bytes], endpoint: str, patience_s: float) -> None:
    """Bind, waiting for a predecessor that is just being closed.

    Raises
    ------
    AddressInUse
        naming the endpoint.
    """
    deadline = time.monotonic() + patience_s
    while True:
        try:
            socket.bind(endpoint)
            return
        except zmq.ZMQError as error:
            if error.errno != zmq.EADDRINUSE or time.monotonic() > deadline:
                raise AddressInUse(f"can't listen on {endpoint}: {error.strerror}") from error
            time.sleep(0.05)
