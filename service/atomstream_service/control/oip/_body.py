"""A request's body taken apart: JSON first, then the bytes of its binary tensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from .._refusal import RequestRefused
from ._messages import InferenceRequest

_MOST_JSON_BYTES = 32 << 20
"""Numbers written as text take ten times their memory while they are read; larger frames come as binary data."""

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Received:
    """An inference request; binary : the bytes of its input, None where `data` holds them."""

    message: InferenceRequest
    binary: memoryview | None


def read_inference(body: bytes, json_length: str | None) -> Received:
    """The request in a body.

    json_length : the header Inference-Header-Content-Length: bytes of the JSON, which binary data follow; None = nothing follows

    Raises
    ------
    RequestRefused
        400, or 413 for JSON that is too long.
    """
    if json_length is None:
        message = read_json(body, InferenceRequest)
        if "binary_data_size" in message.inputs[0].parameters:
            raise RequestRefused(400, "bad_request", "the input has binary_data_size, but the header Inference-Header-Content-Length is missing")
        return Received(message, None)
    if not (json_length.isascii() and json_length.isdigit() and len(json_length) < 19 and int(json_length) <= len(body)):
        raise RequestRefused(400, "bad_request", f"Inference-Header-Content-Length is {json_length!r}, the body has {len(body)} bytes")
    length = int(json_length)
    message = read_json(body[:length], InferenceRequest)
    rest = memoryview(body)[length:]
    size = message.inputs[0].parameters.get("binary_data_size", 0)
    if size is True or size != len(rest):
        raise RequestRefused(400, "bad_request", f"binary_data_size is {size!r}, but {len(rest)} bytes follow the JSON")
    return Received(message, rest if "binary_data_size" in message.inputs[0].parameters else None)


def read_json(text: bytes, kind: type[M]) -> M:
    """A message of some kind; an empty body is one without anything in it.

    Raises
    ------
    RequestRefused
        400 naming every field that is wrong, 413 for a text that is too long.
    """
    if len(text) > _MOST_JSON_BYTES:
        raise RequestRefused(413, "too_large", f"{len(text)} bytes of JSON are more than the {_MOST_JSON_BYTES} allowed; send binary data")
    try:
        return kind.model_validate_json(text or b"{}")
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_context=False, include_input=False)[:5]
        raise RequestRefused(400, "bad_request", "; ".join(f"{'.'.join(map(str, one['loc'])) or 'the body'}: {one['msg']}" for one in wrong)) from error
