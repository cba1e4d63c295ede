"""ZeroMQ CURVE from the client's side: keys, and hearing of it where they don't fit."""

import json
import os
import uuid
from typing import NamedTuple, Optional, Union

import zmq
from zmq.utils.monitor import recv_monitor_message

from ._errors import BadKeys, KeysRefused

_SCHEMA = "atomstream.curve-client.v1"
_KEY_LENGTH = 40
_CHANCES = 3
_FAILURES = (zmq.EVENT_HANDSHAKE_FAILED_AUTH, zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL, zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL)


class CurveKeys(NamedTuple):
    """What a service that asks for keys lets a client in with; each key is 40 characters of Z85.

    public, secret : the client's own pair, whose public key the service knows
    server : the service's public key
    """

    public: str
    secret: str
    server: str

    @classmethod
    def load(cls, path: "Union[str, os.PathLike[str]]") -> "CurveKeys":
        """The keys in a file that `atomstream keys curve add` has made.

        Raises
        ------
        BadKeys
            where the file can't be read or holds no such keys.
        """
        try:
            with open(path, encoding="utf-8") as file:
                found = json.load(file)
            if found["schema"] != _SCHEMA:
                raise ValueError("its schema is {!r}".format(found["schema"]))
            return cls(found["public"], found["secret"], found["server"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BadKeys("{} holds no keys ({}): {}".format(os.fspath(path), _SCHEMA, error)) from error

    def __repr__(self) -> str:
        return "CurveKeys(public={!r}, server={!r})".format(self.public, self.server)


Curve = Union[CurveKeys, str, "os.PathLike[str]"]
"""Keys, or the file that holds them."""


def use_keys(socket: "zmq.Socket[bytes]", curve: Curve) -> None:
    """Have a socket speak CURVE; before it is bound or connected. The service is the CURVE server, whichever side connects.

    Raises
    ------
    BadKeys
        where the keys are none, or this ZeroMQ has no CURVE.
    """
    if not zmq.has("curve"):
        raise BadKeys("this pyzmq was built without CURVE; `pip install pyzmq` brings one that has it")
    keys = curve if isinstance(curve, CurveKeys) else CurveKeys.load(curve)
    if any(not isinstance(key, str) or len(key) != _KEY_LENGTH for key in keys):
        raise BadKeys("a key is {} characters of Z85; see `atomstream keys curve add`".format(_KEY_LENGTH))
    try:
        socket.setsockopt(zmq.CURVE_PUBLICKEY, keys.public.encode("ascii"))
        socket.setsockopt(zmq.CURVE_SECRETKEY, keys.secret.encode("ascii"))
        socket.setsockopt(zmq.CURVE_SERVERKEY, keys.server.encode("ascii"))
    except (zmq.ZMQError, UnicodeEncodeError) as error:
        raise BadKeys("ZeroMQ takes these keys for none: {}".format(error)) from error


class HandshakeWatch:
    """Notices where a socket's peer turns it away, which would otherwise look like silence.

    A bare interruption counts only the third time in a row: the first may be a service that was just being stopped.
    """

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", socket: "zmq.Socket[bytes]", endpoint: str, with_keys: bool) -> None:
        self._endpoint = endpoint
        self._watched = socket
        self._mismatch = (
            "these keys are not for this service: its public key is another one, or it asks for no keys"
            if with_keys
            else "the service asks for keys; give the file of them as curve="
        )
        self._interrupted = 0
        self._refusal: Optional[str] = None
        # pyzmq's own helper names monitors by file descriptors, which are used again; this name is not.
        place = "inproc://monitor-{}".format(uuid.uuid4().hex)
        socket.monitor(place, zmq.EVENT_HANDSHAKE_SUCCEEDED | sum(_FAILURES))
        self.socket: "zmq.Socket[bytes]" = context.socket(zmq.PAIR)
        self.socket.setsockopt(zmq.LINGER, 0)
        # ZeroMQ waits where its news can't be delivered, and all sockets with it: nothing may limit how many are kept.
        self.socket.setsockopt(zmq.RCVHWM, 0)
        self.socket.connect(place)

    def check(self) -> None:
        """Raise KeysRefused if the last handshake failed; ZeroMQ does not try again by itself where it failed for good."""
        while self.socket.poll(0):
            self._take(recv_monitor_message(self.socket)["event"])
        if self._refusal is not None:
            raise KeysRefused("{}: {}".format(self._endpoint, self._refusal))

    def close(self) -> None:
        """End watching; before the watched socket is closed, whose last news would otherwise wait for a listener for ever."""
        self._watched.disable_monitor()
        self.socket.close()

    def _take(self, event: int) -> None:
        if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self._interrupted, self._refusal = 0, None
        elif event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
            self._refusal = "the service does not know this key; it may have been revoked"
        elif event in _FAILURES:
            # Which of the two kinds comes where the sides don't agree depends on who notices first.
            self._interrupted += 1
            if event == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL or self._interrupted >= _CHANCES:
                self._refusal = self._mismatch
