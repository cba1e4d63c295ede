"""`stem.thinned.v1`: representative frames and sums that a fast STEM detector's acquisition publishes for viewers.

As sent by `stem_networking_bench` (NVIDIA and LBNL, 2026): `[topic, JSON, float32 images]`, each product that is switched on one image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from atomstream_wire import Fields, WireError

from ._elements import image_of, pixels_of
from ._header import header_in
from ._message import Images, Message

_SCHEMA = "stem.thinned.v1"
_FLOAT = np.dtype("<f4")
_READ = frozenset(("schema", "batch_index", "height", "width", "dtype", "byte_order", "parts"))


class Thinned:
    """Each product is a channel, `representative` and `sum`; the source is the message's topic; each receiver has numbers of its own."""

    name = "stem/rx"

    def __init__(self, max_pixels: int) -> None:
        self._max_pixels = max_pixels

    def read(self, parts: Sequence[Any]) -> Message:
        if len(parts) < 3:
            raise WireError("part_count", f"{len(parts)} parts came, a product has a topic, metadata and at least one image")
        header = header_in(parts[1])
        if header.get("schema") != _SCHEMA:
            raise WireError("unknown_schema", f"schema {header.get('schema')!r} is not {_SCHEMA!r}")
        read = Fields(header)
        for key, only in (("dtype", "float32"), ("byte_order", "little")):
            if header.get(key, only) != only:
                raise WireError("bad_dtype", f"{key} = {header[key]!r} is not {only!r}")
        shape = (read.count("height"), read.count("width"))
        pixels_of(shape, self._max_pixels)
        names = [name for name in read.texts("parts") if name != "metadata"]
        if len(names) != len(parts) - 2 or len(set(names)) != len(names):
            raise WireError("part_count", f"{len(parts) - 2} images came, the metadata name {', '.join(names) or 'none'}")

        def images() -> Images:
            return {name: image_of(part, _FLOAT, shape, self._max_pixels) for name, part in zip(names, parts[2:], strict=True)}

        rest = {key: value for key, value in header.items() if key not in _READ}
        return Message(_topic(parts[0]), images, read.optional_count("batch_index"), header={"vendor": {"stem": rest}})


def _topic(part: Any) -> str:
    try:
        text = bytes(part).decode()
    except UnicodeDecodeError as error:
        raise WireError("bad_value", f"the topic is not UTF-8: {error}") from error
    if not text:
        raise WireError("bad_value", "the topic is empty")
    return text
