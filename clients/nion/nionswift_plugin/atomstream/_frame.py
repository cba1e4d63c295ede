"""From what Nion Swift hands over to what the wire carries."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._geometry import Pair, ScanGeometry, turned

_NM = {"nm": 1.0, "pm": 1e-3, "\u00c5": 0.1, "\u212b": 0.1, "A": 0.1, "um": 1e3, "\u00b5m": 1e3, "\u03bcm": 1e3, "mm": 1e6, "m": 1e9}
"""Units of length as programs write them, ångström and µ in both of their characters."""
_BEAM = {"high_tension": "energy_eV", "defocus": "defocus_m"}
_DTYPES = frozenset(("u1", "u2", "u4", "i2", "i4", "f4", "f8"))
_SUBSCAN = " Subscan"
"""What Swift appends to the names of channels while a sub-scan runs."""


@dataclass(frozen=True)
class ScanFrame:
    """One scan as `FramePublisher.publish(frame.channels, **frame.about)` takes it.

    channels : name -> array (rows, columns), in the instrument's order, in memory of their own
    about : the other fields of `atomstream_wire.Frame`
    geometry : where it lies; None where the pixel size is unknown
    """

    channels: Mapping[str, NDArray[Any]]
    about: Mapping[str, Any]
    geometry: ScanGeometry | None


def scan_frame(images: Sequence[Any], *, rows: int | None = None) -> ScanFrame:
    """What goes out for the channels of one scan.

    images : Nion's extended data, two-dimensional, one for each enabled channel
    rows : rows that hold data, where the scan was cut short; None = all
    """
    first = images[0]
    metadata = _plain(first.metadata)
    scan, source = _mapping(metadata, "scan"), _mapping(metadata, "hardware_source")
    size = _pixel_size_nm(first)
    height, width = first.data.shape
    geometry = None if size is None else _geometry((height, width), size, scan)
    scanned = height if rows is None else rows
    vendor = {"nion": metadata, "geometry": None if geometry is None else geometry.as_json(), "cut_short": rows is not None, "rows": scanned}
    about: dict[str, Any] = {
        "units": {name: unit for name, one in _named(images) if (unit := one.intensity_calibration.units)},
        "pixel_size": None if geometry is None else geometry.pixel_size_nm,
        "fov_nm": None if geometry is None else geometry.fov_nm,
        "center_nm": None if geometry is None else geometry.center_nm,
        "scan_rotation_rad": _number(scan.get("rotation")) if geometry is None else geometry.rotation_rad,
        "subscan": _subscan(scan),
        "frame": _count(source.get("frame_index")),
        "series": _text(source.get("view_id")),
        "complete": rows is None,
        "valid_rows": (0, scanned),
        "dwell_us": _number(source.get("pixel_time_us")),
        "t_end": _seconds(first.timestamp),
        "beam": _beam(_mapping(metadata, "instrument")),
        "vendor": vendor,
    }
    return ScanFrame({name: _sendable(one.data) for name, one in _named(images)}, about, geometry)


def rows_scanned(images: Sequence[NDArray[Any]], aborted: bool, rows_before: int) -> int | None:
    """Rows that a frame really holds, although Swift calls it complete; None where that is all of them.

    A scan that is aborted may end with a frame that is marked complete and exactly 0 from some pixel on.

    images : the channels, all of one shape
    aborted : whether Swift says that the scan was aborted; it may say so a moment too late
    rows_before : rows that this scan was last seen to have, 0 where it was not seen
    """
    height, width = (int(side) for side in images[0].shape)
    rows = max(_pixels(image) for image in images) // width
    if rows == height:
        # An instrument that leaves other things than 0 in rows that it did not scan is vouched for as far as it was seen.
        return rows_before if aborted and 0 < rows_before < height else None
    if aborted:
        return rows
    # No analogue detector is exactly 0 to the end of a frame. One that counts electrons may be, over vacuum, and so is one that is switched off.
    return None if rows == height - 1 or all(np.array_equal(image, np.rint(image)) for image in images) else rows


def _pixels(image: NDArray[Any]) -> int:
    """Pixels up to the last one that is not 0, in the order of a scan; a look at the last row where nothing is missing."""
    height, width = (int(side) for side in image.shape)
    for row in range(height - 1, -1, -1):
        held = np.flatnonzero(image[row])
        if len(held):
            return row * width + int(held[-1]) + 1
    return 0


def _geometry(shape: tuple[int, int], size_nm: Pair, scan: Mapping[str, Any]) -> ScanGeometry:
    """Place a frame; of a sub-scan Swift's calibration has the scale but not the place, and its field of view is that of the scan around it."""
    center = _number(scan.get("center_y_nm")) or 0.0, _number(scan.get("center_x_nm")) or 0.0
    rotation = _number(scan.get("rotation")) or 0.0
    part = _subscan(scan)
    if part is not None:
        away = [(centre - 0.5) * length for centre, length in zip(part["center_frac"], part["context_fov_nm"], strict=True)]
        offset = turned((away[0], away[1]), rotation)
        center = center[0] + offset[0], center[1] + offset[1]
        rotation -= part["rotation_rad"]
    return ScanGeometry(shape, size_nm, center, rotation)


def _subscan(scan: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a sub-scan is part of, in the wire's words; None where the frame is the whole scan.

    Swift also scans one frame in sections, which it describes as sub-scans; those that are still meant as one are marked.
    """
    size, context, fov = _pair(scan.get("subscan_fractional_size")), _pair(scan.get("scan_context_size")), _number(scan.get("fov_nm"))
    if size is None or context is None or fov is None or _mapping(scan, "scan_device_parameters").get("subscan_type_partial"):
        return None
    return {
        "context_shape": [int(context[0]), int(context[1])],
        # Nion's field of view is the longer side.
        "context_fov_nm": [fov * side / max(context) for side in context],
        "center_frac": list(_pair(scan.get("subscan_fractional_center")) or (0.5, 0.5)),
        "size_frac": list(size),
        "rotation_rad": _number(scan.get("subscan_rotation")) or 0.0,
    }


def _pixel_size_nm(xdata: Any) -> Pair | None:
    """(y, x) in nm; None where it is unknown, or the axes are no lengths."""
    sizes = [one.scale * _NM.get(one.units, math.nan) for one in xdata.dimensional_calibrations]
    return (float(sizes[0]), float(sizes[1])) if len(sizes) == 2 and all(math.isfinite(size) and size > 0 for size in sizes) else None


def _named(images: Sequence[Any]) -> list[tuple[str, Any]]:
    """Channels by name; numbered where two are called the same."""
    named: dict[str, Any] = {}
    for number, one in enumerate(images):
        name = (_text(_mapping(one.metadata, "hardware_source").get("channel_name")) or f"channel {number}").removesuffix(_SUBSCAN)
        named[name if name not in named else f"{name} {number}"] = one
    return list(named.items())


def _sendable(data: NDArray[Any]) -> NDArray[Any]:
    """In a type that the wire has."""
    return data if data.dtype.str[1:] in _DTYPES else data.astype(np.float32)


def _beam(instrument: Mapping[str, Any]) -> dict[str, float]:
    return {name: value for key, name in _BEAM.items() if (value := _number(instrument.get(key))) is not None}


def _seconds(stamp: datetime) -> float:
    """Since the epoch. Swift's time stamps are UTC and do not say so."""
    return (stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)).timestamp()


def _plain(value: Any) -> Any:
    """As JSON can hold it; what is not finite becomes null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


def _mapping(of: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = of.get(key)
    return value if isinstance(value, Mapping) else {}


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) else None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and value >= 0 else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _pair(value: Any) -> Pair | None:
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        return None
    first, second = _number(value[0]), _number(value[1])
    return None if first is None or second is None else (first, second)
