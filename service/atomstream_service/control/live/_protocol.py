"""The whole language of `WS /v1/live`, schema `atomstream.live.v1`.

page -> service, JSON texts   : view, look
service -> page, JSON texts   : hello, state, refused
service -> page, binary       : frame
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from ...orders import View

_ALIGN = 4
"""Bytes: numbers of four bytes begin at multiples of it."""


class ViewMessage(BaseModel):
    """What the page shows from now on.

    view : layers and region
    frame : (session, seq) of a frame of the ring that is looked at; None follows the stream
    fps : at most so many frames a second
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["view"]
    view: View = View()
    frame: tuple[str, int] | None = None
    fps: float = Field(30.0, gt=0, le=30)


class LookMessage(BaseModel):
    """One frame now, beside those that are followed; the answer carries the same `id`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["look"]
    id: int
    view: View = View()
    frame: tuple[str, int] | None = None


MESSAGE: TypeAdapter[ViewMessage | LookMessage] = TypeAdapter(Annotated[ViewMessage | LookMessage, Field(discriminator="kind")])
"""What a page may say."""


def hello_text(name: str | None, role: str | None, t: float) -> str:
    """`hello`, the first message: the schema, who the page acts for, and this machine's time `t`, seconds since the epoch, as frames' times are."""
    return json.dumps({"kind": "hello", "schema": "atomstream.live.v1", "name": name, "role": role, "t": t}, separators=(",", ":"))


def state_text(state: Mapping[str, Any]) -> str:
    """`state`: status, members, drift and the rest, whole; what the engine says of itself is up to a second old."""
    return json.dumps({"kind": "state", **state}, separators=(",", ":"))


def refused_text(code: str, message: str, look: int | None = None) -> str:
    """`refused`: what the page asked for can't be had; `look` is the `id` of the look that it answers, null where it answers something else."""
    return json.dumps({"kind": "refused", "code": code, "message": message, "look": look}, separators=(",", ":"))


def frame_bytes(body: Mapping[str, Any], buffers: Sequence[Any]) -> bytes:
    """`frame`: the length of a JSON header (4 bytes, little-endian), the header, spaces up to a multiple of 4, then the arrays that it describes.

    header : the body of the engine's view, and `parts`: (offset, bytes) of the atoms and of each picture, counted from the header's end
    """
    parts, offset = [], 0
    for one in buffers:
        size = memoryview(one).nbytes
        parts.append((offset, size))
        offset += size + -size % _ALIGN
    header = json.dumps({"kind": "frame", **body, "parts": parts}, separators=(",", ":")).encode()
    header += b" " * (-len(header) % _ALIGN)
    pieces: list[bytes | memoryview] = [len(header).to_bytes(4, "little"), header]
    for one, (_, size) in zip(buffers, parts, strict=True):
        pieces += [memoryview(one).cast("B"), bytes(-size % _ALIGN)]
    return b"".join(pieces)
