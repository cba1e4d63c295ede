"""PSI's htype `array-1.0`, as areaDetector's ADZMQ plug-in sends it, too: `[JSON, image]`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from atomstream_wire import Fields, WireError

from ._elements import dtype_named, image_of, pixels_of
from ._header import header_in
from ._message import Images, Message

_HTYPE = "array-1.0"
_ORDERS = {"little": "<", "big": ">"}
_READ = frozenset(("htype", "shape", "type", "endianness", "endianess", "frame", "source", "encoding"))


class Array:
    """One channel, `image`; the source is the header's, `array` where it names none.

    shape_order : ADZMQ's test server sent the number of columns first before its correction; the specification has the rows first
    """

    name = "array"

    def __init__(self, max_pixels: int, shape_order: Literal["yx", "xy"]) -> None:
        self._max_pixels = max_pixels
        self._columns_first = shape_order == "xy"

    def read(self, parts: Sequence[Any]) -> Message:
        if len(parts) != 2:
            raise WireError("part_count", f"{len(parts)} parts came, an array has a header and its data")
        header = header_in(parts[0])
        if header.get("htype") != _HTYPE:
            raise WireError("unknown_schema", f"htype {header.get('htype')!r} is not {_HTYPE!r}")
        if header.get("encoding") not in (None, "", "none"):
            raise WireError(
                "bad_value", f"encoding {header['encoding']!r}: only data that are not compressed are taken; the format does not say how others are framed"
            )
        read = Fields(header)
        # The specification's own example spells it with one n.
        order = header.get("endianness") or header.get("endianess") or "little"
        if not isinstance(order, str) or order not in _ORDERS:
            raise WireError("bad_dtype", f"endianness {order!r} is not little or big")
        dtype = dtype_named(header.get("type"), _ORDERS[order])
        shape = self._rows_and_columns(header.get("shape"))

        def images() -> Images:
            return {"image": image_of(parts[1], dtype, shape, self._max_pixels)}

        rest = {key: value for key, value in header.items() if key not in _READ}
        source = self.name if header.get("source") == "" else read.optional_text("source") or self.name
        return Message(source, images, read.optional_count("frame"), header={"vendor": {"array": rest}})

    def _rows_and_columns(self, shape: Any) -> tuple[int, ...]:
        if not isinstance(shape, list):
            raise WireError("bad_shape", f"shape {shape!r} is not a list")
        sides = shape[::-1] if self._columns_first else shape
        while len(sides) > 2 and type(sides[0]) is int and sides[0] == 1:
            sides = sides[1:]
        pixels_of(sides, self._max_pixels)
        return tuple(sides)
