"""Groups of a recording for frames, maps and drift scores of one kind."""

from __future__ import annotations

from typing import Any, Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from atomstream_models.lengths import pixel_size_in_nm
from atomstream_models.recording import RecordedFrame

from ._tables import append, make

Compression = Literal["lzf", "gzip", "none"]
"""lzf is the fastest that makes frames smaller; gzip is read by everything and takes twice the time; both with bytes shuffled."""

_LARGEST_CHUNK = 8 << 20
"""Bytes. Larger frames are divided into bands of rows."""
_TIMES = 1024

_FILTERS: dict[Compression, dict[str, Any]] = {
    "lzf": {"compression": "lzf", "shuffle": True},
    "gzip": {"compression": "gzip", "compression_opts": 1, "shuffle": True},
    "none": {},
}


def image_key(item: RecordedFrame) -> tuple[Any, ...]:
    """What frames of one group have in common."""
    image = item.image
    return item.report.source, item.report.channel, image.shape, image.dtype.str, item.frame.pixel_size, item.frame.pixel_unit


def create_images(group: h5py.Group, number: int, item: RecordedFrame, compression: Compression) -> None:
    """NXdata of frames, axes in nm where the pixel size is known."""
    image, source, channel = item.image, item.report.source, item.report.channel
    _plot(group, ["frame_time", "y", "x"], f"{channel} of {source}")
    group.attrs.update({"series": number, "source": source, "channel": channel})
    _grown(group, "data", image.shape, image.dtype, compression).attrs.update(
        {"units": item.frame.units.get(channel, ""), "long_name": channel, "interpretation": "image"}
    )
    _axes(group, item)


def add_image(group: h5py.Group, item: RecordedFrame, time_s: float) -> None:
    _add_one(group["data"], item.image)
    append(group["frame_time"], np.array([time_s]))


def maps_key(item: RecordedFrame) -> tuple[Any, ...] | None:
    if item.mean is None:
        return None
    return (*image_key(item), item.report.classes)


def create_maps(group: h5py.Group, number: int, item: RecordedFrame, compression: Compression) -> None:
    """NXdata of mean maps, std maps beside them; float16, which tells probabilities apart to 0.0005."""
    classes, shape = item.report.classes, (len(item.report.classes), *item.image.shape)
    _plot(group, ["frame_time", "class", "y", "x"], f"probability of atoms, {item.report.channel} of {item.report.source}")
    group.attrs.update({"auxiliary_signals": np.array(["std"], h5py.string_dtype()), "maps": number})
    for name, what in (("data", "mean over the members used"), ("std", "standard deviation over the members used, NaN where unknown")):
        _grown(group, name, shape, np.dtype("<f2"), compression).attrs["long_name"] = what
    group.create_dataset("class", data=_labels(classes))
    _axes(group, item)


def add_maps(group: h5py.Group, item: RecordedFrame, time_s: float) -> None:
    assert item.mean is not None
    _add_one(group["data"], item.mean)
    _add_one(group["std"], np.full(item.mean.shape, np.nan, np.float16) if item.std is None else item.std)
    append(group["frame_time"], np.array([time_s]))


def drift_key(item: RecordedFrame) -> tuple[Any, ...] | None:
    return None if item.drift is None else (item.drift.members, item.drift.names)


def create_drift(group: h5py.Group, number: int, item: RecordedFrame) -> None:
    """NXdata of drift scores, members by scores, NaN where unknown."""
    drift = item.drift
    assert drift is not None
    _plot(group, ["frame_time", "members", "names"], "drift scores")
    group.attrs["drift"] = number
    make(group, "data", drift.values.shape, "<f4", (256, *drift.values.shape))
    group.create_dataset("members", data=_labels(drift.members))
    group.create_dataset("names", data=_labels(drift.names))
    _times(group)


def add_drift(group: h5py.Group, item: RecordedFrame, time_s: float) -> None:
    assert item.drift is not None
    append(group["data"], item.drift.values[None])
    append(group["frame_time"], np.array([time_s]))


def pixel_nm(item: RecordedFrame) -> tuple[float, float]:
    """(y, x), NaN where unknown."""
    return pixel_size_in_nm(item.frame.pixel_size, item.frame.pixel_unit) or (np.nan, np.nan)


def _plot(group: h5py.Group, axes: list[str], title: str) -> None:
    group.attrs.update({"NX_class": "NXdata", "signal": "data", "axes": np.array(axes, h5py.string_dtype()), "title": title})


def _labels(names: tuple[str, ...]) -> NDArray[np.bytes_]:
    """Texts of fixed length, which go with SWMR."""
    texts = [name.encode() for name in names]
    return np.array(texts, f"S{max([1, *map(len, texts)])}")


def _grown(group: h5py.Group, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], compression: Compression) -> h5py.Dataset:
    row_bytes = max(1, shape[-1] * dtype.itemsize)
    rows = max(1, min(shape[-2], _LARGEST_CHUNK // row_bytes))
    # A map of each class is a chunk of its own.
    chunk = (*([1] * (len(shape) - 1)), rows, shape[-1])
    return make(group, name, shape, dtype, chunk, **_FILTERS[compression])


def _add_one(data: h5py.Dataset, image: NDArray[Any]) -> None:
    before = len(data)
    data.resize(before + 1, axis=0)
    data[before] = image.astype(data.dtype, copy=False)


def _axes(group: h5py.Group, item: RecordedFrame) -> None:
    size = pixel_nm(item)
    for name, count, step in zip("yx", item.image.shape, size, strict=True):
        known = not np.isnan(step)
        axis = group.create_dataset(name, data=np.arange(count) * (step if known else 1.0))
        axis.attrs["units"] = "nm" if known else "pixel"
    _times(group)


def _times(group: h5py.Group) -> None:
    data = make(group, "frame_time", (), "<f8", (_TIMES,))
    data.attrs.update({"units": "s", "long_name": "time since the first frame"})
