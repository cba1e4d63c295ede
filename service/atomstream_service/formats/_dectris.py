"""DECTRIS Stream V2: one CBOR message each for the start of a series, an image, its end.

After `stream_v2/README.md` and `cbor/dectris-compression-tag.md` of DECTRIS's documentation, and RFC 8746 for arrays.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from atomstream_wire import Fields, WireError

from ._cbor import Tagged, load_cbor
from ._compression import Algorithm, decompress, make_ready
from ._elements import image_of, pixels_of
from ._message import Images, Message
from ._plain import NotPlain, plain

_DATE, _ARRAY, _COMPRESSED = 0, 40, 56500
_UNSIGNED = {64: "|u1", 65: ">u2", 66: ">u4", 67: ">u8", 68: "|u1", 69: "<u2", 70: "<u4", 71: "<u8"}
_SIGNED = {72: "|i1", 73: ">i2", 74: ">i4", 75: ">i8", 77: "<i2", 78: "<i4", 79: "<i8"}
_FLOATS = {80: ">f2", 81: ">f4", 82: ">f8", 84: "<f2", 85: "<f4", 86: "<f8"}
_TYPED = {tag: np.dtype(text) for tag, text in (_UNSIGNED | _SIGNED | _FLOATS).items()}
_MOST_CHANNELS = 16
"""Thresholds and their differences are a handful. Each may be as large as a frame may be, and lie in the message in a 250th of that."""
_NO_START = "the start message of this series: beam energy, thresholds, detector, order of channels and the start's user_data are unknown"


@dataclass(frozen=True)
class _Start:
    """What is kept of a series' start. Nothing in it is a view, so that the message's tables are let go."""

    series: str
    channels: tuple[str, ...]
    energy_eV: float | None  # noqa: N815
    about: Mapping[str, Any]
    user: Any

    @classmethod
    def of(cls, read: Fields, message: Mapping[str, Any]) -> _Start:
        about = {
            "detector_description": read.optional_text("detector_description"),
            "detector_serial_number": read.optional_text("detector_serial_number"),
            "number_of_images": read.optional_count("number_of_images"),
            "threshold_energy": read.numbers("threshold_energy"),
        }
        return cls(
            _series(read),
            read.texts("channels") if message.get("channels") is not None else (),
            read.optional_number("incident_energy"),
            {key: value for key, value in about.items() if value},
            _user(message),
        )


class DectrisStreamV2:
    """Each threshold is a channel. What the start of a series says is told with its images; who came late hears what is missing.

    Pixel sizes are those of the detector, so that they say nothing of a scan and are not read; `user_data`, which whoever runs the detector sets, may
    hold `pixel_size_nm`, `fov_nm` and `scan_rotation_rad`.
    """

    name = "dectris"

    def __init__(self, max_pixels: int) -> None:
        make_ready()
        self._max_pixels = max_pixels
        self._start: _Start | None = None

    def read(self, parts: Sequence[Any]) -> Message | None:
        if len(parts) != 1:
            raise WireError("part_count", f"{len(parts)} parts came, a message of this format is one")
        message = load_cbor(parts[0])
        if not isinstance(message, dict):
            raise WireError("bad_cbor", f"the message is a {type(message).__name__}, not a map")
        read = Fields(message)
        match kind := read.text("type"):
            case "start":
                self._start = _Start.of(read, message)
                return None
            case "end":
                _series(read)
                return None
            case "image":
                return self._image(read, message)
        raise WireError("unknown_schema", f"type {kind!r} is not start, image or end")

    def _image(self, read: Fields, message: Mapping[str, Any]) -> Message:
        number, series = read.count("image_id"), _series(read)
        start = self._start if self._start is not None and self._start.series == series else None
        data = read.mapping("data")
        if not data:
            raise WireError("missing_key", "data holds no channel")
        if len(data) > _MOST_CHANNELS:
            raise WireError("too_large", f"data holds {len(data)} channels, more than the {_MOST_CHANNELS} allowed")
        names = list(data) if start is None or set(start.channels) != set(data) else start.channels

        def images() -> Images:
            return {name: _image_in(data[name], f"channel {name!r}", self._max_pixels) for name in names}

        date = _date(message.get("series_date"))
        begun, ended = _seconds(message, "start_time"), _seconds(message, "stop_time")
        told: dict[str, Any] = {"series_id": read.optional_count("series_id"), "real_time_s": _seconds(message, "real_time"), "start_time_s": begun}
        if start is None:
            told["missing"] = _NO_START
        else:
            told |= start.about
        user = _user(message)
        if user is None and start is not None:
            user = start.user
        header: dict[str, Any] = {
            "t_end": None if date is None or ended is None else date + ended,
            "beam": {} if start is None or start.energy_eV is None else {"energy_eV": start.energy_eV},
            "user": user if isinstance(user, dict) else {} if user is None else {"user_data": user},
            "vendor": {"dectris": told},
        }
        return Message(self.name, images, number, series, header | _scan(header["user"]))


def _series(read: Fields) -> str:
    return read.optional_text("series_unique_id") or str(read.count("series_id"))


def _user(message: Mapping[str, Any]) -> Any:
    """`user_data`, where JSON can carry it; it is the operator's, and no reason to refuse an image."""
    with contextlib.suppress(NotPlain):
        return plain(message.get("user_data"))
    return None


def _scan(user: Mapping[str, Any]) -> dict[str, Any]:
    found = {key: user[key] for key in ("fov_nm", "scan_rotation_rad") if key in user}
    size = user.get("pixel_size_nm")
    if size is not None:
        found["pixel_size"] = size if isinstance(size, list) else [size, size]
    return found


def _date(value: Any) -> float | None:
    """Seconds since the epoch."""
    if value is None:
        return None
    if isinstance(value, Tagged) and value.tag == _DATE and isinstance(value.content, str):
        with contextlib.suppress(ValueError, OverflowError):
            date = datetime.fromisoformat(value.content)
            if date.tzinfo is not None:
                return date.timestamp()
    raise WireError("bad_value", f"series_date = {str(value)[:100]} is not a date with a time zone")


def _seconds(message: Mapping[str, Any], key: str) -> float | None:
    match message.get(key):
        case None:
            return None
        case [int(numerator), int(denominator)] if numerator >= 0 and denominator > 0:
            return numerator / denominator
        case other:
            raise WireError("bad_value", f"{key} = {str(other)[:100]} is not a fraction of two whole numbers")


def _image_in(value: Any, where: str, max_pixels: int) -> NDArray[Any]:
    match value:
        case Tagged(tag=tag, content=[list(shape), Tagged(tag=kind, content=content)]) if tag == _ARRAY and kind in _TYPED:
            dtype = _TYPED[kind]
        case _:
            raise WireError("bad_dtype", f"{where} is not an array (tag {_ARRAY}) of numbers (tags {min(_TYPED)} to {max(_TYPED)}) but {_named(value)}")
    try:
        expected = pixels_of(shape, max_pixels) * dtype.itemsize
        return image_of(_bytes_in(content, expected), dtype, shape, max_pixels)
    except WireError as error:
        raise WireError(error.code, f"{where}: {error}") from error


def _bytes_in(content: Any, expected: int) -> Any:
    match content:
        case memoryview():
            return content
        case Tagged(tag=tag, content=[str(algorithm), int(size), memoryview() as data]) if tag == _COMPRESSED:
            if algorithm not in get_args(Algorithm):
                raise WireError("bad_value", f"compression {algorithm!r} is not one of {', '.join(get_args(Algorithm))}")
            return decompress("lz4" if algorithm == "lz4" else "bslz4", data, size, expected)
    raise WireError("bad_cbor", f"its data are not bytes, nor compressed bytes (tag {_COMPRESSED}), but {_named(content)}")


def _named(value: Any) -> str:
    return f"tag {value.tag} of {_named(value.content)}" if isinstance(value, Tagged) else f"a {type(value).__name__}"
