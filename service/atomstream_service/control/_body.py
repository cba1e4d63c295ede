"""Bodies that carry frames, read within limits."""

from __future__ import annotations

from fastapi import Request

from ._refusal import RequestRefused

_ROOM_FOR_HEADERS = 1 << 20


def most_bytes(max_pixels: int) -> int:
    """The largest body that can carry as many pixels, in any of the types that a frame may have."""
    return 8 * max_pixels + _ROOM_FOR_HEADERS


async def read_body(request: Request, most: int) -> bytes:
    """A request's body.

    Raises
    ------
    RequestRefused
        413 for one of more than `most` bytes, which are not read.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise RequestRefused(413, "too_large", f"the body is larger than the {most} bytes allowed")
    return bytes(body)
