"""ZeroMQ CURVE: keys, and who is let in with them.

The service is always the CURVE server, whichever side connects: it alone knows whom to let in.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from enum import StrEnum

import zmq
from zmq.utils import z85
from zmq.utils.monitor import recv_monitor_message

from ..errors import AtomstreamError
from ._socket import AddressUnusable, bind

log = logging.getLogger(__name__)

_ZAP = "inproc://zeromq.zap.01"
_DOMAIN = b"atomstream"
_POLL_MS = 100
_LOGGED = 100
"""Refusals that are logged one by one; beyond them, every hundredth."""


class Refused(StrEnum):
    """Why a connection was not let in."""

    UNKNOWN_KEY = "unknown_key"
    """Its key is not among those let in."""
    HANDSHAKE = "handshake"
    """It has no key, or the wrong one of the service, or does not speak ZeroMQ."""


_REASONS = {
    zmq.EVENT_HANDSHAKE_FAILED_AUTH: Refused.UNKNOWN_KEY,
    zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL: Refused.HANDSHAKE,
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL: Refused.HANDSHAKE,
}


def new_key_pair() -> tuple[str, str]:
    """A fresh public and secret key, each as 40 characters of Z85."""
    public, secret = zmq.curve_keypair()
    return public.decode(), secret.decode()


class CurveGuard:
    """Lets in, at the sockets it protects, only whoever has a secret key to one of the public keys known.

    One a process: ZeroMQ asks a single authority for all sockets of a context.

    secret : the service's secret key
    known : public key -> name of those let in; asked at each handshake, so that a new key counts at once

    Raises
    ------
    CurveUnusable
        where ZeroMQ was built without CURVE, or a second guard is made.
    """

    def __init__(self, secret: str, known: Callable[[], Mapping[str, str]]) -> None:
        if not zmq.has("curve"):
            raise CurveUnusable("this ZeroMQ was built without CURVE; install pyzmq from its own wheels")
        self._secret = secret.encode()
        self._known = known
        self._lock = threading.Lock()
        self._refused: Counter[Refused] = Counter()
        self._monitors: list[zmq.Socket[bytes]] = []
        self._protected: list[zmq.Socket[bytes]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="curve", daemon=True)
        self._zap: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.REP)
        self._zap.setsockopt(zmq.LINGER, 0)
        try:
            # A predecessor's end takes ZeroMQ a moment.
            bind(self._zap, _ZAP, patience_s=1.0)
        except AddressUnusable as error:
            self._zap.close()
            raise CurveUnusable("another guard decides in this process already") from error

    def protect(self, socket: zmq.Socket[bytes]) -> None:
        """Ask for keys at a socket; before it is bound or connected, and before `start`."""
        socket.setsockopt(zmq.CURVE_SERVER, 1)
        socket.curve_secretkey = self._secret
        socket.zap_domain = _DOMAIN
        # Without this, a process whose guard has gone would let in anybody who knows the public key.
        socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
        # pyzmq names monitors by file descriptors, which come back; this name does not.
        place = f"inproc://monitor-{uuid.uuid4().hex}"
        socket.monitor(place, sum(_REASONS))
        monitor: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.PAIR)
        monitor.setsockopt(zmq.LINGER, 0)
        # ZeroMQ waits where its news can't be delivered, and all sockets with it: nothing may limit how many are kept.
        monitor.setsockopt(zmq.RCVHWM, 0)
        monitor.connect(place)
        self._monitors.append(monitor)
        self._protected.append(socket)

    def release(self, socket: zmq.Socket[bytes]) -> None:
        """Hear no more of a socket; before it is closed, since its last news would otherwise wait for a listener for ever."""
        with self._lock:
            if socket in self._protected:
                socket.disable_monitor()
                self._protected.remove(socket)

    def start(self) -> None:
        """Start answering handshakes; they wait until then."""
        self._thread.start()

    def close(self) -> None:
        """Let nobody in any more."""
        for socket in [*self._protected]:
            self.release(socket)
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(5)
        for socket in (self._zap, *self._monitors):
            socket.close()

    def refused(self) -> dict[str, int]:
        """Connections that were not let in, by reason; one that keeps trying counts each time."""
        with self._lock:
            return {str(one): self._refused[one] for one in Refused}

    def _run(self) -> None:
        poller = zmq.Poller()
        for socket in (self._zap, *self._monitors):
            poller.register(socket, zmq.POLLIN)
        while not self._stop.is_set():
            for socket, _ in poller.poll(_POLL_MS):
                if socket is self._zap:
                    self._answer()
                else:
                    event = recv_monitor_message(socket)["event"]
                    if event in _REASONS:
                        self._note(_REASONS[event])

    def _answer(self) -> None:
        """Answer one request of the ZeroMQ Authentication Protocol, ZMQ RFC 27."""
        _, request, _, address, _, mechanism, *credentials = self._zap.recv_multipart()
        name = self._name(credentials[0]) if mechanism == b"CURVE" and len(credentials) == 1 else None
        if name is None:
            log.debug("key not let in from %s", address.decode("utf-8", "replace"))
            answer = (b"400", b"unknown key", b"")
        else:
            log.info("%s connected from %s", name, address.decode("utf-8", "replace"))
            answer = (b"200", b"OK", name.encode())
        self._zap.send_multipart([b"1.0", request, *answer, b""])

    def _name(self, key: bytes) -> str | None:
        try:
            return self._known().get(z85.encode(key).decode())
        except AtomstreamError as error:
            log.error("%s; nobody new is let in", error)
            return None

    def _note(self, reason: Refused) -> None:
        with self._lock:
            self._refused[reason] += 1
            count = self._refused.total()
        if count <= _LOGGED or count % _LOGGED == 0:
            log.warning("a ZeroMQ connection was not let in (%s), %d by now", reason, count)


class CurveUnusable(AtomstreamError):
    """Keys are asked for, but can't be checked here."""
