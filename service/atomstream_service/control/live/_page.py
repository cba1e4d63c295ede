"""One page at the other end of a WebSocket."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

from fastapi.concurrency import run_in_threadpool
from pydantic import ValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect

from ...transport import CommandRefused, EngineUnavailable
from .._service import Service
from ._board import Board
from ._frames import FrameWatcher
from ._protocol import MESSAGE, LookMessage, ViewMessage, frame_bytes, refused_text

GONE = 4401
"""The code with which a page is told that its token is no longer good."""

_ACCESS_EVERY_S = 1.0


class Page:
    """Sends what the page asked to see, always the newest: what a slow browser has not taken is never queued, but overtaken.

    still_admitted : asked every second whether the page may stay
    """

    def __init__(self, socket: WebSocket, service: Service, frames: FrameWatcher, board: Board, still_admitted: Callable[[], bool]) -> None:
        self._socket = socket
        self._service = service
        self._frames = frames
        self._board = board
        self._still_admitted = still_admitted
        self._wanted: ViewMessage | None = None
        self._sent: tuple[ViewMessage, str, int, int] | None = None
        self._frame_due = asyncio.Event()
        self._state_due = asyncio.Event()
        self._sending = asyncio.Lock()

    async def run(self) -> None:
        """Until the page goes."""
        loop = asyncio.get_running_loop()
        leave_frames = self._frames.join(lambda: loop.call_soon_threadsafe(self._stream_moved))
        leave_board = self._board.join(lambda: loop.call_soon_threadsafe(self._state_due.set))
        self._state_due.set()
        try:
            async with asyncio.TaskGroup() as tasks:
                for work in (self._read(), self._send_frames(), self._send_states(), self._watch_access()):
                    tasks.create_task(work)
        except* WebSocketDisconnect:
            pass
        finally:
            leave_frames()
            leave_board()

    def _stream_moved(self) -> None:
        if self._wanted is None or self._wanted.frame is None:
            self._frame_due.set()

    async def _read(self) -> None:
        while True:
            text = await self._socket.receive_text()
            try:
                message = MESSAGE.validate_json(text)
            except ValidationError as error:
                first = error.errors(include_url=False, include_input=False, include_context=False)[0]
                # The first part of a place is the kind of message that it was taken for.
                where = ".".join(map(str, first["loc"][1:])) or "the message"
                await self._send_text(refused_text("bad_message", f"{where}: {first['msg']}"))
                continue
            if isinstance(message, LookMessage):
                with contextlib.suppress(EngineUnavailable):
                    await self._send_frame(message)
            else:
                self._wanted = message
                self._frame_due.set()

    async def _send_frames(self) -> None:
        due = time.monotonic()
        while True:
            await self._frame_due.wait()
            self._frame_due.clear()
            wanted, began = self._wanted, time.monotonic()
            if wanted is None:
                continue
            with contextlib.suppress(EngineUnavailable):  # once it is back there is a newer frame
                await self._send_frame(wanted)
            due = max(due + 1 / wanted.fps, began)  # a frame that came late makes the next one no later
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _send_frame(self, wanted: ViewMessage | LookMessage) -> None:
        look = wanted.id if isinstance(wanted, LookMessage) else None
        arguments: dict[str, Any] = {"view": wanted.view.model_dump(), "frame": wanted.frame}
        try:
            reply = await run_in_threadpool(self._service.call, "view", arguments)
        except CommandRefused as error:
            if wanted.frame is not None or look is not None:
                await self._send_text(refused_text(error.code, str(error), look))
            return
        if isinstance(wanted, ViewMessage):
            report = reply.body["report"]
            sent = wanted, report["session"], report["seq"], report["ensemble"]["generation"]
            if sent == self._sent:
                return  # asked for just when it came
            self._sent = sent
        body = {**reply.body, "live": wanted.frame is None, "look": look}
        async with self._sending:
            await self._socket.send_bytes(frame_bytes(body, reply.buffers))

    async def _send_states(self) -> None:
        while True:
            await self._state_due.wait()
            self._state_due.clear()
            await self._send_text(await run_in_threadpool(lambda: self._board.text))

    async def _watch_access(self) -> None:
        while await run_in_threadpool(self._still_admitted):
            await asyncio.sleep(_ACCESS_EVERY_S)
        async with self._sending:
            await self._socket.close(GONE, "the token is no longer good")
        raise WebSocketDisconnect(GONE)

    async def _send_text(self, text: str) -> None:
        async with self._sending:
            await self._socket.send_text(text)
