import time
from types import TracebackType
from typing import Dict, Iterator, List, Optional, Sequence, Tuple, Type

import zmq

from atomstream_wire import Atoms, Event, Maps, Result, WireError, decode_result

from ._curve import Curve, HandshakeWatch, use_keys
from ._errors import BadMessage, ClientError, Closed
from ._socket import open_socket

KINDS = ("atoms", "maps", "error", "event")


class ResultSubscriber:
    """Reads what the service publishes.

    endpoint : where the service publishes results
    kinds : which of `atoms`, `maps`, `error`, `event` to read; leave `maps` out where only coordinates matter
    source : only this instrument's results; all by default (events come from none and always come)
    latest : where several results wait, skip to the newest of each kind
    queue : messages that may wait before the service drops some for this reader
    curve : keys, or the file that holds them, where the service asks for keys
    """

    def __init__(
        self,
        endpoint: str = "tcp://127.0.0.1:5556",
        *,
        kinds: Sequence[str] = KINDS,
        source: Optional[str] = None,
        latest: bool = False,
        queue: int = 1000,
        curve: Optional[Curve] = None,
    ) -> None:
        unknown = [kind for kind in kinds if kind not in KINDS]
        if unknown or not kinds:
            raise ValueError("kinds are some of {}; got {!r}".format(", ".join(KINDS), list(kinds)))
        self._latest = latest
        self._source = source
        self._last_seq: Dict[Tuple[str, str, str], int] = {}
        self._missed = 0
        self._skipped = 0
        self._ready: List[Result] = []
        self._closed = False
        self._socket: "zmq.Socket[bytes]" = zmq.Context.instance().socket(zmq.SUB)
        self._socket.setsockopt(zmq.RCVHWM, queue)
        self._socket.setsockopt(zmq.LINGER, 0)
        for kind in kinds:
            self._socket.subscribe("{}/{}".format(kind, "" if source is None or kind == "event" else source))
        self._watch = HandshakeWatch(zmq.Context.instance(), self._socket, endpoint, curve is not None)
        try:
            if curve is not None:
                use_keys(self._socket, curve)
            open_socket(self._socket, endpoint, "connect")
        except ClientError:
            self.close()
            raise
        self._poller = zmq.Poller()
        for one in (self._socket, self._watch.socket):
            self._poller.register(one, zmq.POLLIN)

    @property
    def missed(self) -> int:
        """Frames without a result here: the sum of the jumps in seq, whoever lost them."""
        return self._missed

    @property
    def skipped(self) -> int:
        """Messages passed over because of `latest`."""
        return self._skipped

    def receive(self, timeout_s: Optional[float] = None) -> Optional[Result]:
        """The next result: `Atoms`, `Maps`, `Failure` or `Event`; None after the timeout (None waits for ever).

        Raises
        ------
        BadMessage
            where something came that is not a result; the next call goes on behind it.
        KeysRefused
            where the service turns this reader away because of its keys.
        Closed
            after `close()`.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while not self._ready:
            if self._closed:
                raise Closed("the subscriber is closed")
            left = None if deadline is None else max(0, int(1000 * (deadline - time.monotonic())))
            heard = dict(self._poller.poll(left))
            if self._socket in heard:
                self._take()
            elif heard:
                self._watch.check()
                continue
            else:
                return None
            while self._latest and self._socket.poll(0):
                self._take()
        return self._ready.pop(0)

    def __iter__(self) -> Iterator[Result]:
        """Results until `close()`."""
        while not self._closed:
            result = self.receive(0.5)
            if result is not None:
                yield result

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._watch.close()
            self._socket.close()

    def __enter__(self) -> "ResultSubscriber":
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]) -> None:
        self.close()

    def _take(self) -> None:
        """Read one message; put it last among those that are ready, in place of an older one of its kind if only the latest count."""
        result = self._read()
        # A topic is matched by its beginning, so `stem` would hear `stem2`, too.
        if self._source is not None and _source_of(result) not in (None, self._source):
            return
        if self._latest and isinstance(result, (Atoms, Maps)):
            kept = [one for one in self._ready if type(one) is not type(result)]
            self._skipped += len(self._ready) - len(kept)
            self._ready = kept
        self._ready.append(result)

    def _read(self) -> Result:
        parts = [part.buffer for part in self._socket.recv_multipart(copy=False)]
        try:
            result = decode_result(parts)
        except WireError as error:
            raise BadMessage(str(error)) from error
        if isinstance(result, (Atoms, Maps)):
            report = result.report
            stream = (type(result).__name__, report.source, report.session)
            last = self._last_seq.get(stream)
            if last is not None and report.seq > last + 1 and (isinstance(result, Atoms) or ("Atoms", report.source, report.session) not in self._last_seq):
                self._missed += report.seq - last - 1
            self._last_seq[stream] = report.seq
        return result


def _source_of(result: Result) -> Optional[str]:
    if isinstance(result, (Atoms, Maps)):
        return result.report.source
    return None if isinstance(result, Event) else result.source
