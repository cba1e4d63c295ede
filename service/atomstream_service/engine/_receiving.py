"""The thread of one frame socket: decode, count, hand over."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeGuard

from atomstream_wire import Failure, Frame, WireError

from ..config import Config
from ..formats import FrameReader
from ..logs import Throttle
from ..transport import AskingSocket, FrameSocket
from ._ledger import Ledger
from ._slot import Slot
from ._work import Job

often = Throttle(logging.getLogger(__name__))

_POLL_MS = 100
_NO_CHANNEL = "no_channel"
_LATE = "late"
_LONGEST_TOPIC = 200
_LONGEST_REASON = 1000
"""Letters: reasons name what was wrong, which may be as long as the message."""


class Receiving:
    """Takes messages off one socket as fast as they come, so that none ages unseen in ZeroMQ's buffers."""

    def __init__(
        self,
        socket: FrameSocket | AskingSocket,
        read: FrameReader,
        slot: Slot[Job],
        config: Config,
        ledger: Ledger,
        refuse: Callable[[Failure], None],
        offer: Callable[[Job], None] | None = None,
    ) -> None:
        """read : makes frames of the socket's messages
        offer : who looks at frames of scans that still run, before they are complete
        """
        self._socket = socket
        self._read = read
        self._slot = slot
        self._config = config
        self._ledger = ledger
        self._refuse = refuse
        self._offer = offer
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="receiving", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(5)

    def _run(self) -> None:
        while not self._stop.is_set():
            parts = self._socket.receive(_POLL_MS)
            if parts is not None:
                self._accept(parts)
        self._socket.close()

    def _accept(self, parts: Sequence[Any]) -> None:
        t_recv, clock_recv = time.time(), time.perf_counter()
        try:
            frame = self._read(parts)
            if frame is None:
                return
            newer = self._ledger.arrived(frame.source, frame.session, frame.seq)
            new, runs = newer is None, not frame.complete
            if newer is not None and newer > frame.seq and not runs:
                self._say_late(frame, newer)
            if runs and not self._config.partial_frames:
                self._ledger.passed_over(frame.source)
                new = False
                if self._offer is None:
                    return
            channel = self._channel(frame)
        except WireError as error:
            self._reject(error, _decoded(parts[0]) if parts else None, noted=error.code != _NO_CHANNEL)
            return
        job = Job(frame, channel, frame.channels[channel], t_recv, clock_recv)
        if runs and self._offer is not None:
            self._offer(job)
        if new:
            self._slot.put(job)

    def _say_late(self, frame: Frame, newer: int) -> None:
        """Whoever waits for this frame waits in vain. One that came twice is answered once, and nothing is said of it."""
        reason = f"it came after frame {newer} of its session; who begins to count anew takes a new session"
        self._refuse(Failure(frame.source, _LATE, reason, frame.session, frame.seq, time.time()))

    def _channel(self, frame: Frame) -> str:
        wanted = self._config.channel
        if wanted is None:
            return next(iter(frame.channels))
        if wanted not in frame.channels:
            header = {"session": frame.session, "seq": frame.seq, "source": frame.source}
            raise WireError(_NO_CHANNEL, f"channel {wanted!r} is not among {', '.join(frame.channels)}", header)
        return wanted

    def _reject(self, error: WireError, topic: str | None, noted: bool) -> None:
        source, session, seq = (error.header.get(key) for key in ("source", "session", "seq"))
        source = source if _is_text(source) else topic if _is_text(topic) else "unknown"
        session = session if _is_text(session) else None
        seq = seq if type(seq) is int and seq >= 0 else None
        if noted and session is not None and seq is not None:
            self._ledger.arrived(source, session, seq)  # it came, so its number is no gap
        self._ledger.lost(source, "rejected")
        reason = _shortened(str(error))
        often.say(logging.WARNING, "rejected", f"frame rejected: {reason}", source=source, session=session, seq=seq, code=error.code)
        self._refuse(Failure(source, error.code, reason, session, seq, time.time()))


def _shortened(reason: str) -> str:
    return reason if len(reason) <= _LONGEST_REASON else f"{reason[:_LONGEST_REASON]} ..."


def _decoded(topic: Any) -> str | None:
    """A topic that could be read out in an answer."""
    try:
        text = bytes(topic).decode()
    except UnicodeDecodeError:
        return None
    return text if text.isprintable() and len(text) <= _LONGEST_TOPIC else None


def _is_text(value: object) -> TypeGuard[str]:
    try:
        return isinstance(value, str) and bool(value.encode())
    except UnicodeEncodeError:
        return False
