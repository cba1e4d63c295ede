"""Nion Swift's own files."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..lengths import nm_per
from ._arrays import in_zip, open_zip
from ._movie import Raw, UnreadableFile

_KEYS = ("dimensional_calibrations", "spatial_calibrations")
"""What the list of an array's calibrations is called: in the library, and in exported files."""


def open_ndata(file: Path) -> Raw:
    """An item of Nion Swift's library: `data.npy` and `metadata.json` in a zip file."""
    archive = open_zip(file, "an .ndata file")
    try:
        if "data.npy" not in archive.namelist():
            raise UnreadableFile(f"{file} is not an .ndata file: it holds {', '.join(archive.namelist()) or 'nothing'}, no data.npy")
        properties = json.loads(archive.read("metadata.json")) if "metadata.json" in archive.namelist() else {}
        raw = in_zip(archive, "data.npy", None)
        if are_spectra(properties):
            raise UnreadableFile(f"{file} holds spectra {list(raw.shape)}, not frames")
        return Raw(raw.shape, raw.dtype, raw.read, calibrated_nm(properties, len(raw.shape)), raw.close)
    except BaseException:
        archive.close()
        raise


def are_spectra(properties: Mapping[str, Any]) -> bool:
    """Whether an item's properties, or those of its data source, say that a datum has one axis."""
    return any(part.get("datum_dimension_count") == 1 for part in (properties, *_sources(properties)))


def calibrated_nm(properties: Mapping[str, Any], axes: int) -> tuple[float, float] | None:
    """(y, x) of a pixel by the calibrations that stand in an item's properties, or in those of its data source."""
    for part in (properties, *_sources(properties)):
        for key in _KEYS:
            found = part.get(key)
            if isinstance(found, list) and len(found) == axes:
                sizes = [_size_nm(one) for one in found[-2:]]
                return None if len(sizes) < 2 or not all(map(math.isfinite, sizes)) else (sizes[0], sizes[1])
    return None


def _sources(properties: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    listed = properties.get("data_sources") or [properties.get("data_source")]
    return [one for one in listed if isinstance(one, Mapping)]


def _size_nm(calibration: Mapping[str, Any]) -> float:
    factor, scale = nm_per(str(calibration.get("units") or "")), abs(float(calibration.get("scale") or 0))
    return math.nan if factor is None or not 0 < scale < math.inf else scale * factor
