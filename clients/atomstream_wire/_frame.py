"""Frames in: `[topic, header, channel 0, channel 1, ...]`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from ._arrays import dtype_of, from_bytes, shape_of, to_bytes
from ._errors import WireError
from ._fields import Fields, as_list, check_schema, dump_header, load_header

if TYPE_CHECKING:  # NumPy before 1.21 has no NDArray, and old instruments come with such a NumPy
    from numpy.typing import NDArray

FRAME_SCHEMA = "atomstream.frame.v1"
MAX_PIXELS = 1 << 26

_KNOWN = frozenset(
    (
        *("schema", "session", "seq", "source", "channels", "pixel_size", "pixel_unit", "frame", "series"),
        *("complete", "valid_rows", "fov_nm", "center_nm", "scan_rotation_rad", "subscan", "dwell_us"),
        *("t_end", "t_send", "beam", "user", "vendor"),
    )
)


@dataclass(frozen=True)
class Frame:
    """One scan, all its channels. Positions and sizes are (y, x) = (row, column) throughout.

    channels : name -> ndarray, shape (rows, columns), dtype one of `DTYPES`, either byte order
    session : fresh each time a publisher starts
    seq : counts up by one per message and session; a jump is a loss
    source : name of the instrument and scan device, also the message's topic, such as `nion/usim`
    units : name -> unit of a channel's values; a channel may be missing
    pixel_size : (y, x) in `pixel_unit`; None means unknown, never 1
    frame : the instrument's own frame number, which may restart
    series : the instrument's own name for a run of frames
    complete : False while the scan still runs
    valid_rows : rows (first, one past last) that hold data
    fov_nm, center_nm : field of view and its centre in nm
    scan_rotation_rad : counter-clockwise, in radians
    subscan : the instrument's description of a sub-scan
    dwell_us : dwell time of a pixel in microseconds
    t_end, t_send : seconds since the epoch: end of the scan, sending
    beam : such as energy_eV, current_pA, defocus_m
    user, vendor : anything else; unknown header keys arrive in `vendor`. Both are echoed with the result
    """

    channels: Mapping[str, NDArray[Any]]
    session: str
    seq: int
    source: str
    units: Mapping[str, str] = field(default_factory=dict)
    pixel_size: Optional[Tuple[float, float]] = None
    pixel_unit: str = "nm"
    frame: Optional[int] = None
    series: Optional[str] = None
    complete: bool = True
    valid_rows: Optional[Tuple[int, int]] = None
    fov_nm: Optional[Tuple[float, float]] = None
    center_nm: Optional[Tuple[float, float]] = None
    scan_rotation_rad: Optional[float] = None
    subscan: Optional[Mapping[str, Any]] = None
    dwell_us: Optional[float] = None
    t_end: Optional[float] = None
    t_send: Optional[float] = None
    beam: Mapping[str, Any] = field(default_factory=dict)
    user: Mapping[str, Any] = field(default_factory=dict)
    vendor: Mapping[str, Any] = field(default_factory=dict)


def encode_frame(frame: Frame) -> List[Any]:
    """The message parts of a frame; the channels' parts are their arrays' own memory.

    Raises
    ------
    WireError
        where the frame breaks a rule of the schema, so that nothing bad leaves the instrument.
    """
    channels = [_describe(name, array, frame.units.get(name)) for name, array in frame.channels.items()]
    header = {
        "schema": FRAME_SCHEMA,
        "session": frame.session,
        "seq": frame.seq,
        "source": frame.source,
        "channels": channels,
        "pixel_size": as_list(frame.pixel_size),
        "pixel_unit": frame.pixel_unit,
        "frame": frame.frame,
        "series": frame.series,
        "complete": frame.complete,
        "valid_rows": as_list(frame.valid_rows),
        "fov_nm": as_list(frame.fov_nm),
        "center_nm": as_list(frame.center_nm),
        "scan_rotation_rad": frame.scan_rotation_rad,
        "subscan": frame.subscan,
        "dwell_us": frame.dwell_us,
        "t_end": frame.t_end,
        "t_send": frame.t_send,
        "beam": dict(frame.beam),
        "user": dict(frame.user),
        "vendor": dict(frame.vendor),
    }
    _read_header(header, MAX_PIXELS)
    return [frame.source.encode(), dump_header(header), *map(to_bytes, frame.channels.values())]


def decode_frame(parts: Sequence[Any], max_pixels: int = MAX_PIXELS) -> Frame:
    """The frame in a multipart message; its arrays are read-only views of the message.

    parts : bytes-like objects, as they came from the socket
    max_pixels : largest channel accepted

    Raises
    ------
    WireError
        where the message does not follow the schema; the error names what was wrong and carries the header.
    """
    if len(parts) < 2:
        raise WireError("part_count", f"{len(parts)} parts came, a frame has a topic, a header and its channels")
    header = load_header(parts[1])
    try:
        fields, shapes = _read_header(header, max_pixels)
        if bytes(parts[0]) != fields["source"].encode():
            raise WireError("topic_mismatch", f"topic {bytes(parts[0])!r} is not the source {fields['source']!r}")
        if len(parts) != 2 + len(shapes):
            raise WireError("part_count", f"{len(parts)} parts came, {len(shapes)} channels need {2 + len(shapes)}")
        arrays = {name: from_bytes(part, dtype, shape, f"channel {name!r}") for part, (name, dtype, shape) in zip(parts[2:], shapes)}
    except WireError as error:
        raise WireError(error.code, str(error), header) from error
    return Frame(channels=arrays, **fields)


_Shapes = List[Tuple[str, "np.dtype[Any]", Tuple[int, ...]]]


def _read_header(header: Mapping[str, Any], max_pixels: int) -> Tuple[Dict[str, Any], _Shapes]:
    check_schema(header, FRAME_SCHEMA)
    read = Fields(header)
    described = read.objects("channels")
    if not described:
        raise WireError("bad_value", "channels is empty")
    shapes: _Shapes = []
    units: Dict[str, str] = {}
    for channel in described:
        one = Fields(channel)
        name = one.text("name")
        where = f"channel {name!r}"
        if any(name == other for other, _, _ in shapes):
            raise WireError("bad_value", f"{where} is there twice")
        shape = shape_of(channel.get("shape"), where, (2,), max_pixels)
        if 0 in shape:
            raise WireError("bad_shape", f"{where}: shape {list(shape)} holds no pixel")
        shapes.append((name, dtype_of(channel.get("dtype"), where), shape))
        unit = one.optional_text("unit")
        if unit is not None:
            units[name] = unit
    vendor = {**{key: value for key, value in header.items() if key not in _KNOWN}, **read.mapping("vendor")}
    dump_header({"user": read.mapping("user"), "vendor": vendor})  # they will be echoed, so they must be writable
    fields: Dict[str, Any] = {
        "session": read.text("session"),
        "seq": read.count("seq"),
        "source": read.text("source"),
        "units": units,
        "pixel_size": _positive(read.optional_pair("pixel_size"), "pixel_size"),
        "pixel_unit": read.optional_text("pixel_unit") or "nm",
        "frame": read.optional_count("frame"),
        "series": read.optional_text("series"),
        "complete": read.flag("complete", True),
        "valid_rows": _rows(read.optional_pair("valid_rows"), shapes[0][2][0]),
        "fov_nm": _positive(read.optional_pair("fov_nm"), "fov_nm"),
        "center_nm": read.optional_pair("center_nm"),
        "scan_rotation_rad": read.optional_number("scan_rotation_rad"),
        "subscan": read.mapping("subscan") if header.get("subscan") is not None else None,
        "dwell_us": read.optional_number("dwell_us"),
        "t_end": read.optional_number("t_end"),
        "t_send": read.optional_number("t_send"),
        "beam": read.mapping("beam"),
        "user": read.mapping("user"),
        "vendor": vendor,
    }
    return fields, shapes


def _positive(pair: Optional[Tuple[float, float]], key: str) -> Optional[Tuple[float, float]]:
    if pair is not None and min(pair) <= 0:
        raise WireError("bad_value", f"{key} = {list(pair)} is not positive; leave it null where it is unknown")
    return pair


def _rows(pair: Optional[Tuple[float, float]], height: int) -> Optional[Tuple[int, int]]:
    if pair is None:
        return None
    first, end = int(pair[0]), int(pair[1])
    if (first, end) != pair or not 0 <= first <= end <= height:
        raise WireError("bad_value", f"valid_rows = {list(pair)} is not a range of rows of a frame {height} rows high")
    return first, end


def _describe(name: str, array: NDArray[Any], unit: Optional[str]) -> Dict[str, Any]:
    return {"name": name, "dtype": array.dtype.str, "shape": list(array.shape), "unit": unit}
