"""karabo-bridge, protocol 2.2: `[header, payload, header, payload, ...]`, headers in MessagePack, arrays as they lie in memory.

After `karabo_bridge/serializer.py` of European XFEL's karabo-bridge-py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgpack

from atomstream_wire import Fields, WireError

from ._elements import dtype_written, image_of, is_wide, pixels_of
from ._message import Images, Message
from ._plain import NotPlain, plain

_LARGEST_HEADER = 1 << 16
_LIMITS = {"max_str_len": _LARGEST_HEADER, "max_bin_len": _LARGEST_HEADER, "max_array_len": 256, "max_map_len": 4096, "max_ext_len": 64}
"""A header announces what it holds; this bounds what is allocated before that is seen to be untrue."""


class KaraboBridge:
    """Each two-dimensional array is a channel, named `SOURCE PATH`. Numbers, times and metadata are those of the first source that has one.

    Arrays of other dimensions, of 64-bit whole numbers and of types that are no numbers are left out, and the values beside arrays are not read.
    """

    name = "karabo"

    def __init__(self, max_pixels: int) -> None:
        self._max_pixels = max_pixels

    def read(self, parts: Sequence[Any]) -> Message:
        if len(parts) < 2 or len(parts) % 2:
            raise WireError("part_count", f"{len(parts)} parts came, not pairs of a header and a payload (protocol 1.0 is not taken: it can carry pickles)")
        metadata: dict[str, Mapping[str, Any]] = {}
        found: dict[str, tuple[Mapping[str, Any], Any]] = {}
        others: list[str] = []
        main = None
        for part, payload in zip(parts[::2], parts[1::2], strict=True):
            header = _header(part)
            read = Fields(header)
            source, content = read.text("source"), read.text("content")
            if content == "msgpack":
                metadata[source] = read.mapping("metadata")
                continue
            if content != "array":
                raise WireError("unknown_schema", f"content {content!r} is not msgpack or array")
            name, shape = f"{source} {read.text('path')}", header.get("shape")
            if not isinstance(shape, list):
                raise WireError("bad_shape", f"{name}: shape {shape!r} is not a list")
            if name in found:
                raise WireError("bad_value", f"{name} is there twice")
            if len(shape) == 2 and _is_taken(header.get("dtype")):
                pixels_of(shape, self._max_pixels)
                found[name] = header, payload
                main = main or source
            else:
                others.append(f"{name} {shape} {header.get('dtype')!r}"[:200])
        if main is None:
            raise WireError("bad_shape", f"no array is an image: {'; '.join(others[:5]) or 'there is none'}")

        def images() -> Images:
            return {name: image_of(data, dtype_written(header["dtype"]), header["shape"], self._max_pixels) for name, (header, data) in found.items()}

        about = Fields(metadata.get(main, {}))
        return Message(
            self.name,
            images,
            about.optional_count("timestamp.tid"),
            header={"t_end": about.optional_number("timestamp"), "vendor": {"karabo": _plain_of(metadata.get(main, {}))}},
        )


def _header(part: Any) -> Mapping[str, Any]:
    view = memoryview(part)
    if view.nbytes > _LARGEST_HEADER:
        raise WireError("too_large", f"a header of {view.nbytes} bytes, more than the {_LARGEST_HEADER} allowed")
    try:
        header = msgpack.unpackb(view, raw=False, strict_map_key=True, **_LIMITS)
    except (ValueError, msgpack.exceptions.UnpackException) as error:
        raise WireError("bad_msgpack", f"a header is not MessagePack: {error}") from error
    if not isinstance(header, dict) or not all(isinstance(key, str) for key in header):
        raise WireError("bad_msgpack", f"a header is a {type(header).__name__}, not a map with keys of text")
    return header


def _is_taken(dtype: Any) -> bool:
    try:
        return not is_wide(dtype_written(dtype))
    except WireError:
        return False


def _plain_of(metadata: Mapping[str, Any]) -> dict[str, Any]:
    kept = {}
    for key, value in metadata.items():
        try:
            kept[key] = plain(value)
        except NotPlain:
            continue
    return kept
