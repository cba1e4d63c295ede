from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from ..lengths import nm_per
from ._movie import Raw, UnreadableFile


def open_tiff(file: Path) -> Raw:
    tiff = tifffile.TiffFile(file)
    try:
        with _whole(file):
            series = tiff.series[0]
        if "S" in series.axes:
            raise UnreadableFile(f"{file} holds colour images, not frames")
        return Raw(series.shape, series.dtype, _reader(file, tiff, series), _pixel_nm(tiff), tiff.close)
    except BaseException:
        tiff.close()
        raise


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


def _reader(file: Path, tiff: tifffile.TiffFile, series: Any) -> Any:
    if series.dataoffset is not None:
        # All frames in one piece, which ImageJ also writes where only the first has a page of its own.
        images = np.memmap(file, series.dtype.newbyteorder(tiff.byteorder), "r", series.dataoffset, series.shape)
        return lambda k: images if images.ndim == 2 else images[k]

    def read(number: int) -> NDArray[Any]:
        return np.asarray(series.asarray() if len(series.shape) == 2 else series.pages[number].asarray())

    return read


def _pixel_nm(tiff: tifffile.TiffFile) -> tuple[float, float] | None:
    """The pixel size by ImageJ's calibration; None where there is none, or its unit is no length that we know."""
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
