from __future__ import annotations

import threading
import time
import uuid
from types import TracebackType
from typing import TYPE_CHECKING, Any, Dict, Mapping, Optional, Type, Union

import numpy as np
import zmq

from atomstream_wire import Frame, WireError, encode_frame

from ._curve import Curve, HandshakeWatch, use_keys
from ._errors import BadFrame, ClientError, Closed
from ._socket import open_socket

if TYPE_CHECKING:  # NumPy before 1.21 has no NDArray, and old instruments come with such a NumPy
    from numpy.typing import NDArray

Channels = Union["NDArray[Any]", Mapping[str, "NDArray[Any]"]]
_RETRY_S = 0.002


class FramePublisher:
    """Sends frames to a service and never waits for it.

    Frames are copied when they are published, so the instrument may reuse their memory. Where the service does not
    keep up, the newest frame is dropped and counted; its `seq` is skipped, so the service knows, too.
    Safe to use from several threads.

    source : name of the instrument and its scan device, such as `nion/usim`
    endpoint : where the service receives frames
    socket : `pub`, or `push` where the service pulls
    attach : `connect` to a service that binds, or `bind`
    queue : frames that may wait in the socket
    curve : keys, or the file that holds them, where the service asks for keys
    """

    def __init__(
        self,
        source: str,
        endpoint: str = "tcp://127.0.0.1:5555",
        *,
        socket: str = "pub",
        attach: str = "connect",
        queue: int = 2,
        curve: Optional[Curve] = None,
    ) -> None:
        if socket not in ("pub", "push") or attach not in ("connect", "bind"):
            raise ValueError("socket is pub or push, attach is connect or bind; got {!r}, {!r}".format(socket, attach))
        self._source = source
        self._session = uuid.uuid4().hex
        self._seq = 0
        self._sent = 0
        self._dropped = 0
        self._readers = 0
        self._lock = threading.Lock()
        self._closed = False
        self._listens = socket == "pub"
        # XPUB speaks to SUB sockets as PUB does, but knows its readers and says so where one is full.
        # A context of its own, because only ending it waits for frames that are still on their way.
        self._context: "zmq.Context[zmq.Socket[bytes]]" = zmq.Context()
        self._socket: "zmq.Socket[bytes]" = self._context.socket(zmq.XPUB if self._listens else zmq.PUSH)
        self._socket.setsockopt(zmq.SNDHWM, queue)
        # Without this a connecting socket keeps queueing for a service that has gone away.
        self._socket.setsockopt(zmq.IMMEDIATE, 1)
        if self._listens:
            self._socket.setsockopt(zmq.XPUB_NODROP, 1)
            self._socket.setsockopt(zmq.XPUB_VERBOSER, 1)
        self._watch: Optional[HandshakeWatch] = None
        try:
            if curve is not None:
                use_keys(self._socket, curve)
            # A socket that is bound meets strangers, too; that one of them was turned away is no news.
            if attach == "connect":
                self._watch = HandshakeWatch(self._context, self._socket, endpoint, curve is not None)
            open_socket(self._socket, endpoint, attach)
        except ClientError:
            self._shut(0)
            raise

    @property
    def session(self) -> str:
        """This publisher's session, fresh for each one made."""
        return self._session

    @property
    def sent(self) -> int:
        """Frames handed to the network."""
        return self._sent

    @property
    def dropped(self) -> int:
        """Frames not sent because nobody listened or the service was behind."""
        return self._dropped

    def publish(self, channels: Channels, *, wait_s: float = 0.0, **about: Any) -> bool:
        """Send one scan; True if it went out, False if it was dropped and counted.

        channels : array (rows, columns), or name -> array for several channels of one scan
        wait_s : seconds to wait for room, for files that are replayed; a scan never waits
        about : any other field of `atomstream_wire.Frame`, such as pixel_size, t_end, frame, user

        Raises
        ------
        BadFrame
            for a frame that breaks the schema.
        KeysRefused
            where the service turns this publisher away because of its keys; the frame counts as dropped.
        Closed
            after `close()`.
        """
        given: Mapping[str, Any] = channels if isinstance(channels, Mapping) else {"image": channels}
        with self._lock:
            if self._closed:
                raise Closed("the publisher is closed")
            try:
                named: Dict[str, NDArray[Any]] = {name: np.asarray(one) for name, one in given.items()}
                frame = Frame(channels=named, session=self._session, seq=self._seq, source=self._source, **{"t_send": time.time(), **about})
                parts = encode_frame(frame)
            except (WireError, TypeError, ValueError, AttributeError) as error:
                raise BadFrame(str(error)) from error
            self._seq += 1
            out = self._send(parts, time.monotonic() + wait_s)
            self._sent += out
            self._dropped += not out
            if not out:
                self._check_keys()
            return out

    def wait_for_reader(self, timeout_s: float = 10.0) -> bool:
        """Wait until a service listens; False after the timeout. A `push` socket is ready once it is connected.

        Raises
        ------
        KeysRefused
            where the service turns this publisher away because of its keys.
        """
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            with self._lock:
                if self._closed:
                    raise Closed("the publisher is closed")
                if self._has_reader():
                    return True
                self._check_keys()
            time.sleep(0.01)
        return False

    def close(self, linger_s: float = 1.0) -> None:
        """Close the socket; waits up to `linger_s` seconds for frames on their way to leave."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._shut(int(1000 * linger_s))

    def __enter__(self) -> "FramePublisher":
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]) -> None:
        self.close()

    def _shut(self, linger_ms: int) -> None:
        if self._watch is not None:
            self._watch.close()
        self._socket.close(linger=linger_ms)
        self._context.term()

    def _check_keys(self) -> None:
        if self._watch is not None:
            self._watch.check()

    def _send(self, parts: Any, deadline: float) -> bool:
        while True:
            if self._has_reader():
                try:
                    self._socket.send_multipart(parts, zmq.DONTWAIT)
                except zmq.Again:
                    pass
                else:
                    return True
            if time.monotonic() >= deadline:
                return False
            time.sleep(_RETRY_S)

    def _has_reader(self) -> bool:
        if not self._listens:
            return bool(self._socket.poll(0, zmq.POLLOUT))
        while self._socket.poll(0, zmq.POLLIN):
            subscription = self._socket.recv()
            self._readers += 1 if subscription.startswith(b"\x01") else -1
        return self._readers > 0
