"""The thread of one frame socket: decode, count, hand over."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from atomstream_wire import Failure, Frame, WireError, decode_frame

from ..config import Config
from ..transport import FrameSocket
from ._ledger import Ledger
from ._slot import Slot
from ._work import Job

_POLL_MS = 100


class Receiving:
    """Takes messages off one socket as fast as they come, so that none ages unseen in ZeroMQ's buffers."""

    def __init__(self, socket: FrameSocket, slot: Slot[Job], config: Config, ledger: Ledger, refuse: Callable[[Failure], None]) -> None:
        self._socket = socket
        self._slot = slot
        self._config = config
        self._ledger = ledger
        self._refuse = refuse
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
            frame = decode_frame(parts, self._config.max_pixels)
            new = self._ledger.arrived(frame.source, frame.session, frame.seq)
            if not frame.complete and not self._config.partial_frames:
                self._ledger.passed_over(frame.source)
                return
            channel = self._channel(frame)
        except WireError as error:
            self._reject(error)
            return
        if new:
            self._slot.put(Job(frame, channel, frame.channels[channel], t_recv, clock_recv))

    def _channel(self, frame: Frame) -> str:
        wanted = self._config.channel
        if wanted is None:
            return next(iter(frame.channels))
        if wanted not in frame.channels:
            header = {"session": frame.session, "seq": frame.seq, "source": frame.source}
            raise WireError("no_channel", f"channel {wanted!r} is not among {', '.join(frame.channels)}", header)
        return wanted

    def _reject(self, error: WireError) -> None:
        source, session, seq = (error.header.get(key) for key in ("source", "session", "seq"))
        source = source if isinstance(source, str) and source else "unknown"
        self._ledger.lost(source, "rejected")
        self._refuse(
            Failure(
                source,
                error.code,
                str(error),
                session if isinstance(session, str) and session else None,
                seq if type(seq) is int and seq >= 0 else None,
                time.time(),
            )
        )
