from __future__ import annotations

import time

import zmq

from ..errors import AtomstreamError


class AddressUnusable(AtomstreamError):
    """A socket can't be bound or connected: something else listens there, or there is no such place."""


def new_socket(kind: int) -> zmq.Socket[bytes]:
    """A socket of the process's context that speaks IPv6, too, and holds nothing back when it is closed."""
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(kind)
    socket.setsockopt(zmq.IPV6, 1)
    socket.setsockopt(zmq.LINGER, 0)
    return socket


def connect(socket: zmq.Socket[bytes], endpoint: str) -> None:
    """Connect, now or whenever the other side is there.

    Raises
    ------
    AddressUnusable
        naming the endpoint.
    """
    try:
        socket.connect(endpoint)
    except zmq.ZMQError as error:
        raise AddressUnusable(f"can't connect to {endpoint}: {error.strerror}") from error


def bind(socket: zmq.Socket[bytes], endpoint: str, patience_s: float) -> None:
    """Bind, waiting for a predecessor that is just being closed.

    Raises
    ------
    AddressUnusable
        naming the endpoint.
    """
    deadline = time.monotonic() + patience_s
    while True:
        try:
            socket.bind(endpoint)
            return
        except zmq.ZMQError as error:
            if error.errno != zmq.EADDRINUSE or time.monotonic() > deadline:
                raise AddressUnusable(f"can't listen on {endpoint}: {error.strerror}") from error
            time.sleep(0.05)
