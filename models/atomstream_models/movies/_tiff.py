from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from ..lengths import nm_per
from ._flat import flat
from ._movie import Raw, UnreadableFile

_FRAMES_AXES = 3
_NAMED = 5
"""Of several stacks, how many an error names."""


def open_tiff(file: Path) -> Raw:
    tiff = tifffile.TiffFile(file)
    try:
        with _whole(file):
            series, *others = [one for one in tiff.series if not one.keyframe.is_reduced] or tiff.series
        if "S" in series.axes:
            raise UnreadableFile(f"{file} holds colour images, not frames")
        if others:
            return _joined(file, tiff, [series, *others])
        if series.dataoffset is not None:
            # All frames in one piece, which ImageJ also writes where only the first has a page of its own.
            raw = flat(file, series.dataoffset, series.shape, series.dtype.newbyteorder(tiff.byteorder), _pixel_nm(tiff))
            tiff.close()
            return raw
        return Raw(series.shape, series.dtype, lambda k: _page(series, k), _pixel_nm(tiff), tiff.close)
    except BaseException:
        tiff.close()
        raise


def _joined(file: Path, tiff: tifffile.TiffFile, parts: Sequence[Any]) -> Raw:
    """One movie of frames that were appended to the file one by one, or some at a time; they have to be of one kind."""
    first = parts[0]
    if first.kind == "ome" or any(one.shape[-2:] != first.shape[-2:] or one.dtype != first.dtype or len(one.shape) > _FRAMES_AXES for one in parts):
        raise UnreadableFile(f"{file} holds several stacks: {', '.join(f'{list(one.shape)} of {one.dtype}' for one in parts[:_NAMED])}; save one alone")
    ends = list(accumulate(1 if len(one.shape) < _FRAMES_AXES else one.shape[0] for one in parts))

    def read(number: int) -> NDArray[Any]:
        k = bisect_right(ends, number)
        return _page(parts[k], number - (ends[k - 1] if k else 0))

    return Raw((ends[-1], *first.shape[-2:]), first.dtype, read, _pixel_nm(tiff), tiff.close)


class _Complaints(logging.Handler):
    """What tifffile logs where pages are missing; it goes on with those that are there."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if "invalid page offset" in (text := record.getMessage()) or "corrupted" in text:
            self.heard.append(text)


@contextmanager
def _whole(file: Path) -> Iterator[None]:
    """Refuse a file of which only a part is there, such as one that is still being written."""
    complaints, logger = _Complaints(), logging.getLogger("tifffile")
    before = logger.propagate
    logger.addHandler(complaints)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(complaints)
        logger.propagate = before
    if complaints.heard:
        raise UnreadableFile(f"{file} is damaged: {complaints.heard[-1]}")


def _page(series: Any, number: int) -> NDArray[Any]:
    return np.asarray(series.asarray() if len(series.shape) == 2 else series.pages[number].asarray())


def _pixel_nm(tiff: tifffile.TiffFile) -> tuple[float, float] | None:
    """The pixel size by ImageJ's calibration or OME's; None where there is neither, or its unit is no length that we know."""
    return _ome_nm(tiff.ome_metadata) if tiff.ome_metadata else _imagej_nm(tiff)


def _ome_nm(text: str) -> tuple[float, float] | None:
    images = tifffile.xml2dict(text).get("OME", {}).get("Image", {})
    pixels = (images[0] if isinstance(images, list) else images).get("Pixels", {})
    sizes = []
    for axis in "YX":
        factor, size = nm_per(str(pixels.get(f"PhysicalSize{axis}Unit", "µm"))), float(pixels.get(f"PhysicalSize{axis}", 0))
        if factor is None or not 0 < size < np.inf:
            return None
        sizes.append(factor * size)
    return sizes[0], sizes[1]


def _imagej_nm(tiff: tifffile.TiffFile) -> tuple[float, float] | None:
    about, tags = tiff.imagej_metadata or {}, tiff.pages.first.tags
    unit = nm_per(str(about.get("unit", "")))
    x, y = tags.get("XResolution"), tags.get("YResolution")
    if unit is None or x is None or y is None or about.get("yunit", about["unit"]) != about["unit"]:
        return None
    (across, width), (down, height) = x.value, y.value
    if not (across and width and down and height) or across == width:
        # One pixel a unit is what stands in files that nobody has calibrated.
        return None
    return float(unit * height / down), float(unit * width / across)
