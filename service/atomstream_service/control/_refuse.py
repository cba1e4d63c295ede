from __future__ import annotations

import asyncio
import contextlib

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

_MOST_BYTES = 16 << 20
_MOST_S = 2.0


async def answer_unread(answer: Response, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request whose body nobody has read.

    Some of the body is taken and thrown away first: closing on a sender that is still sending resets the connection,
    and the answer would be lost to it.
    """
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(_throw_away(receive), _MOST_S)
    await answer(scope, receive, send)


async def _throw_away(receive: Receive) -> None:
    size = 0
    while size < _MOST_BYTES:
        message = await receive()
        size += len(message.get("body", b""))
        if not message.get("more_body", False):
            return
