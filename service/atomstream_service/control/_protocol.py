"""HTTP/1.1 as uvicorn speaks it, with an end to waiting for a request's first lines."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEADERS_S = 15.0
"""Seconds that a request's head may take; uvicorn itself would wait for ever."""
MOST_HEADER_BYTES = 32 << 10


class PromptProtocol(H11Protocol):
    """Closes a connection whose request does not begin, or whose head is not complete, in time."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._ease()
        elif self._late is None and not self.transport.is_closing():
            self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._ease()
        super().connection_lost(exc)

    def _watch(self) -> None:
        self._late = self.loop.call_later(HEADERS_S, self._give_up)

    def _ease(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _give_up(self) -> None:
        if self.conn.their_state is h11.IDLE:
            self.transport.close()
