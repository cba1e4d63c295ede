from __future__ import annotations

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
        series = tiff.series[0]
        if "S" in series.axes:
            raise UnreadableFile(f"{file} holds colour images, not frames")
        return Raw(series.shape, series.dtype, _reader(file, tiff, series), _pixel_nm(tiff), tiff.close)
    except BaseException:
        tiff.close()
        raise


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
