"""Headers in JSON, of any format."""

from __future__ import annotations

from typing import Any

from atomstream_wire import WireError, load_header

_LARGEST = 1 << 20
"""Bytes. A header is kept as long as its frame and sent to everybody who hears the results."""


def check_header(part: Any) -> None:
    """Refuse a header that is too large, before it is read."""
    size = memoryview(part).nbytes
    if size > _LARGEST:
        raise WireError("too_large", f"the header has {size} bytes, more than the {_LARGEST} allowed")


def header_in(part: Any) -> dict[str, Any]:
    """The JSON object in one message part."""
    check_header(part)
    return load_header(part)
