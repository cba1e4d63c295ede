"""Content codings of bodies, within limits."""

from __future__ import annotations

import zlib

from .._refusal import RequestRefused

_WINDOW_BITS = {"gzip": 31, "deflate": 15}
"""What zlib calls the two formats; deflate is zlib's own, as RFC 9110 says."""
_FAST = 1


def decoded(body: bytes, coding: str | None, most: int) -> bytes:
    """A body as it was before its sender compressed it.

    coding : the header Content-Encoding
    most : bytes that it may have afterwards

    Raises
    ------
    RequestRefused
        400 for damaged data, 413 for too much of it, 415 for another coding than gzip or deflate.
    """
    if coding is None or coding.strip().lower() == "identity":
        return body
    bits = _WINDOW_BITS.get(coding.strip().lower())
    if bits is None:
        raise RequestRefused(415, "unknown_coding", f"Content-Encoding is {coding!r}; this service reads gzip and deflate")
    reader = zlib.decompressobj(bits)
    try:
        plain = reader.decompress(body, most + 1)
    except zlib.error as error:
        raise RequestRefused(400, "damaged_body", f"the body is not {coding}: {error}") from error
    if len(plain) > most:
        raise RequestRefused(413, "too_large", f"the body is larger than the {most} bytes allowed once it is decompressed")
    if not reader.eof or reader.unused_data:
        raise RequestRefused(400, "damaged_body", f"the body's {coding} data is cut off, or something follows it")
    return plain


def encoded(body: bytes, accepted: str | None) -> tuple[bytes, str | None]:
    """A body for a client that asked for one coding and nothing else, and the coding's name; otherwise the body as it is.

    accepted : the header Accept-Encoding. HTTP libraries offer a list of codings unasked; compressing maps for all of them would take
        longer than sending them over loopback.
    """
    coding = (accepted or "").strip().lower()
    bits = _WINDOW_BITS.get(coding)
    if bits is None:
        return body, None
    writer = zlib.compressobj(_FAST, zlib.DEFLATED, bits)
    return writer.compress(body) + writer.flush(), coding
