"""No body is larger, or slower, than its route allows."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..access import Body, Rules
from ._problems import refusal
from ._refuse import answer_unread

PATIENCE_S = 30.0
"""Seconds that a body may take, whatever it holds."""
SLOWEST_BYTES_PER_S = 16 << 10
"""Each second more must have brought this much."""


class BoundedBodies:
    """ASGI middleware: 413 for a body that is too large, 408 for one that does not come; nothing of either stays in memory.

    limits : bytes of each kind of body
    patience_s : see `PATIENCE_S`
    """

    def __init__(self, app: ASGIApp, rules: Rules, limits: Mapping[Body, int], patience_s: float = PATIENCE_S) -> None:
        self._app = app
        self._rules = rules
        self._limits = limits
        self._patience_s = patience_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = self._limits[self._rules.of(scope["method"], scope["path"]).body]
        announced = Headers(scope=scope).get("content-length", "0")
        if not announced.isdigit() or int(announced) > most:
            answer = refusal(scope["path"], 413, "too_large", f"the body of {announced} bytes is larger than the {most} allowed here")
            await answer_unread(answer, scope, receive, send)
            return
        body = _Body(receive, most, self._patience_s)
        started = False

        async def pass_on(message: Message) -> None:
            nonlocal started
            if started or body.fault is None:
                started = True
                await send(message)

        # A route whose body ends early answers that its sender has gone, or raises; the reason is ours to tell.
        with contextlib.suppress(ClientDisconnect):
            await self._app(scope, body.receive, pass_on)
        if body.fault is not None and not started:
            answer = refusal(scope["path"], *body.fault)
            if body.fault[0] == 413:
                await answer_unread(answer, scope, receive, send)
            else:
                answer.headers["Connection"] = "close"
                await answer(scope, receive, send)


class _Body:
    """A body as it comes; `fault` is why it was cut off, (status, code, sentence)."""

    def __init__(self, receive: Receive, most: int, patience_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._receive = receive
        self._most = most
        self._clock = clock
        self._deadline = clock() + patience_s
        self._size = 0
        self._whole = False
        self.fault: tuple[int, str, str] | None = None

    async def receive(self) -> Message:
        if self.fault is not None:
            return {"type": "http.disconnect"}
        if self._whole:
            return await self._receive()
        left_s = self._deadline + self._size / SLOWEST_BYTES_PER_S - self._clock()
        try:
            message = await asyncio.wait_for(self._receive(), max(left_s, 0.0))
        except TimeoutError:
            self.fault = (408, "too_slow", f"the body did not come in time; {self._size} bytes did")
            return {"type": "http.disconnect"}
        self._size += len(message.get("body", b""))
        self._whole = not message.get("more_body", False)
        if self._size > self._most:
            self.fault = (413, "too_large", f"the body is larger than the {self._most} bytes allowed here")
            return {"type": "http.disconnect"}
        return message
