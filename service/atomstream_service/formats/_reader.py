"""Messages to frames, whatever the format."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from atomstream_wire import FRAME_SCHEMA, Frame, WireError, decode_frame

from ..config import FramesEndpoint
from ._array import Array
from ._header import check_header
from ._message import Translator
from ._needs import need_packages
from ._numbering import Numbering
from ._thinned import Thinned

FrameReader = Callable[[Sequence[Any]], Frame | None]
"""A message's parts -> its frame, or None where it brings none; raises WireError, which carries what could be read of source, session and seq."""


def reader_for(endpoint: FramesEndpoint, max_pixels: int) -> FrameReader:
    """What reads the messages of one socket; for use by one thread.

    Raises
    ------
    ExtraMissing
        where the format needs a package that is not installed.
    """
    if endpoint.format == "atomstream.frame.v1":
        return lambda parts: _decoded(parts, max_pixels)
    return _Foreign(_translator(endpoint, max_pixels), endpoint, max_pixels)


def _translator(endpoint: FramesEndpoint, max_pixels: int) -> Translator:
    """Imports what the format needs, once it is known to be there."""
    need_packages([endpoint])
    match endpoint.format:
        case "stem.thinned.v1":
            return Thinned(max_pixels)
        case "array-1.0":
            return Array(max_pixels, endpoint.shape_order)
        case "dectris-stream-v2":
            from ._dectris import DectrisStreamV2  # noqa: PLC0415  # lz4 is of an extra

            return DectrisStreamV2(max_pixels)
        case "odin-live-view":
            from ._odin import OdinLiveView  # noqa: PLC0415  # as above

            return OdinLiveView(max_pixels, endpoint.shape_order)
        case "karabo-bridge":
            from ._karabo import KaraboBridge  # noqa: PLC0415  # msgpack is of an extra

            return KaraboBridge(max_pixels)
        case other:
            raise ValueError(f"{other!r} is no other maker's format")


class _Foreign:
    """Writes what a message says as a header of ours, and has it read like any other: one place decides what a frame may be."""

    def __init__(self, translator: Translator, endpoint: FramesEndpoint, max_pixels: int) -> None:
        self._translator = translator
        self._numbering = Numbering(endpoint.leaves_out)
        self._source = endpoint.source
        self._pixel_size = None if endpoint.pixel_size_nm is None else [endpoint.pixel_size_nm] * 2
        self._max_pixels = max_pixels

    def __call__(self, parts: Sequence[Any]) -> Frame | None:
        known: dict[str, Any] = {"source": self._source or self._translator.name}
        try:
            message = self._translator.read(parts)
            if message is None:
                return None
            source = self._source or message.source
            session, seq = self._numbering.next(message.source, message.series, message.number)
            known |= {"source": source, "session": session, "seq": seq}
            images = message.images()
            header = {
                "pixel_size": self._pixel_size,
                **message.header,
                **known,
                "schema": FRAME_SCHEMA,
                "frame": message.number,
                "series": message.series,
                "channels": [{"name": name, "dtype": image.dtype.str, "shape": list(image.shape)} for name, image in images.items()],
            }
            return _decoded([source.encode(), _written(header), *(image.reshape(-1).view("u1").data for image in images.values())], self._max_pixels)
        except WireError as error:
            raise WireError(error.code, str(error), known) from error


def _decoded(parts: Sequence[Any], max_pixels: int) -> Frame:
    for header in parts[1:2]:
        check_header(header)
    return decode_frame(parts, max_pixels)


def _written(header: dict[str, Any]) -> bytes:
    try:
        return json.dumps(header, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise WireError("bad_value", f"what the message says can't be written as JSON: {error}") from error
