"""Formats that RosettaSciIO reads. It is under the GPL, and nothing but this file imports it: only the extra `formats` brings it."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ExtraMissing
from ..lengths import nm_per
from ._blocks import Blocks
from ._movie import Raw, UnreadableFile

PLUGINS = {".dm3": "digitalmicrograph", ".dm4": "digitalmicrograph", ".zspy": "zspy"}
"""Ending -> its reader there."""


def open_rosettasciio(file: Path, name: str | None) -> Raw:
    """name : title of the array, where the file holds several"""
    try:
        plugin = importlib.import_module(f"rsciio.{PLUGINS[file.suffix.lower()]}")
        read = plugin.file_reader(str(file), lazy=True)
    except ImportError as missing:
        package = (missing.name or "rsciio").partition(".")[0]
        raise ExtraMissing("rosettasciio" if package == "rsciio" else package, "formats") from missing
    signals = [one for one in read if one["data"].ndim in (2, 3)]
    chosen = [one for one in signals if name is None or _title(one) == name]
    if len(chosen) != 1:
        there = ", ".join(f"{_title(one)} {list(one['data'].shape)}" for one in signals) or "nothing that looks like frames"
        raise UnreadableFile(f"{file} holds {there}" + ("; name one of them" if signals else ""))
    data, axes = chosen[0]["data"], sorted(chosen[0]["axes"], key=lambda axis: int(axis.get("index_in_array", 0)))
    if any(str(axis.get("units")) in ("eV", "keV") for axis in axes):
        raise UnreadableFile(f"{file} holds spectra {list(data.shape)}, not frames")
    if data.ndim == 2:
        return Raw(data.shape, data.dtype, lambda _: np.asarray(data.compute()), _pixel_nm(axes))

    def part(first: int, end: int) -> NDArray[Any]:
        return np.asarray(data[first:end].compute(scheduler="synchronous"))

    frame_bytes = data.shape[1] * data.shape[2] * data.dtype.itemsize
    return Raw(data.shape, data.dtype, Blocks(part, data.shape[0], frame_bytes, data.chunks[0][0]), _pixel_nm(axes))


def _title(signal: dict[str, Any]) -> str:
    return str(signal.get("metadata", {}).get("General", {}).get("title", ""))


def _pixel_nm(axes: Sequence[dict[str, Any]]) -> tuple[float, float] | None:
    sizes = []
    for axis in axes[-2:]:
        factor, scale = nm_per(str(axis.get("units", ""))), abs(float(axis.get("scale", 0)))
        if factor is None or not 0 < scale < np.inf:
            return None
        sizes.append(factor * scale)
    return sizes[0], sizes[1]
