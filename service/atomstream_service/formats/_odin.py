"""Odin's live view, odin-data's `LiveViewPlugin`: `[JSON, image]`, every so many frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from atomstream_wire import Fields, WireError

from ._compression import Algorithm, decompress, make_ready
from ._elements import dtype_named, image_of, pixels_of
from ._header import header_in
from ._message import Images, Message

_ALGORITHMS: dict[Any, Algorithm | None] = {"none": None, "unset": None, "unknown": None, "LZ4": "lz4", "BSLZ4": "bslz4"}
_LONGEST_SIDE = 9
"""Digits: beyond any limit on pixels."""
_READ = frozenset(("frame_num", "acquisition_id", "dtype", "dsize", "compression", "shape"))


class OdinLiveView:
    """One channel, named for the dataset; datasets have numbers of their own, as the plug-in sends several under the same ones.

    shape_order : the specification has x first; odin-data's own plug-ins and viewers have the rows first
    """

    name = "odin"

    def __init__(self, max_pixels: int, shape_order: Literal["yx", "xy"]) -> None:
        make_ready()
        self._max_pixels = max_pixels
        self._columns_first = shape_order == "xy"

    def read(self, parts: Sequence[Any]) -> Message:
        if len(parts) != 2:
            raise WireError("part_count", f"{len(parts)} parts came, a live view frame has a header and its data")
        header = header_in(parts[0])
        read = Fields(header)
        number = read.count("frame_num")
        named = "float32" if header.get("dtype") == "float" else header.get("dtype")
        dtype = dtype_named(named, "<")
        compression = header.get("compression", "none")
        if not isinstance(compression, str) or compression not in _ALGORITHMS:
            raise WireError("bad_value", f"compression {compression!r} is not one of {', '.join(_ALGORITHMS)}")
        shape = self._rows_and_columns(header.get("shape"))
        size = read.optional_count("dsize")
        if size is not None and size != memoryview(parts[1]).nbytes:
            raise WireError("byte_count", f"{memoryview(parts[1]).nbytes} bytes came, the header says {size}")
        dataset = "" if header.get("dataset") in (None, "") else read.text("dataset")

        def images() -> Images:
            algorithm, data = _ALGORITHMS[compression], parts[1]
            if algorithm is not None:
                data = decompress(algorithm, data, dtype.itemsize, pixels_of(shape, self._max_pixels) * dtype.itemsize)
            return {dataset or "image": image_of(data, dtype, shape, self._max_pixels)}

        rest = {key: value for key, value in header.items() if key not in _READ}
        series = None if header.get("acquisition_id") == "" else read.optional_text("acquisition_id")
        source = f"{self.name}/{dataset}" if dataset else self.name
        return Message(source, images, number, series, {"vendor": {"odin": rest}})

    def _rows_and_columns(self, shape: Any) -> tuple[int, ...]:
        if not isinstance(shape, list):
            raise WireError("bad_shape", f"shape {shape!r} is not a list")
        # The plug-in writes the numbers as strings, against its own specification.
        sides = [int(one) if isinstance(one, str) and one.isascii() and one.isdigit() and len(one) <= _LONGEST_SIDE else one for one in shape]
        sides = sides[::-1] if self._columns_first else sides
        pixels_of(sides, self._max_pixels)
        return tuple(sides)
