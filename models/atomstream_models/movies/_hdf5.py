"""Frames in HDF5 files: those of HyperSpy, EMD and Nion Swift as their programs write them, any other by what it shows first."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ..lengths import nm_per
from ..recording import NoImages, open_hdf5, open_images
from ._blocks import Blocks
from ._movie import Raw, UnreadableFile
from ._nion import are_spectra, calibrated_nm

_SPATIAL = 2
_EMD_ARRAYS = ("data", "realslice")
"""What the array of an EMD group is called, the latter by Prismatic."""


@dataclass(frozen=True)
class _Found:
    """An array of frames in a file.

    name : by which it can be asked for
    data : where it is
    order : its axes as frames (if there is such an axis), rows, columns
    pixel_nm : (y, x)
    """

    name: str
    data: h5py.Dataset
    order: tuple[int, ...]
    pixel_nm: tuple[float, float] | None


def open_h5(file: Path, dataset: str | None) -> Raw:
    h5 = open_hdf5(file)
    try:
        found = next((found for look in (_hyperspy, _velox, _ncem, _nion) if (found := look(h5))), None)
        if found is not None and (one := _chosen(file, found, dataset)) is not None:
            return _raw(one, h5.close)
    except BaseException:
        h5.close()
        raise
    h5.close()
    try:
        stack = open_images(file, dataset)
    except NoImages as error:
        raise UnreadableFile(str(error)) from error
    count, rows, columns = stack.shape
    return Raw(stack.shape, stack.dtype, Blocks(stack.part, count, rows * columns * stack.dtype.itemsize, stack.together), stack.pixel_nm, stack.close)


def _chosen(file: Path, found: Sequence[_Found], name: str | None) -> _Found | None:
    """The one asked for, or the only one; None where something else was asked for, which may be a path in the file."""
    if name is not None:
        named = [one for one in found if one.name == name]
        return named[0] if len(named) == 1 else None
    frames = [one for one in found if one.data.ndim in (2, 3)] or list(found)
    if len(frames) > 1:
        there = ", ".join(f"{one.name} {[one.data.shape[k] for k in one.order]}" for one in frames)
        raise UnreadableFile(f"{file}: it holds {there}; name one of them")
    return frames[0]


def _raw(one: _Found, close: Callable[[], None]) -> Raw:
    data, order = one.data, one.order
    shape = tuple(data.shape[k] for k in order)
    if len(order) != 3:
        return Raw(shape, data.dtype, lambda _: data[()].transpose(order), one.pixel_nm, close)
    frames = order[0]

    def read(first: int, end: int) -> NDArray[Any]:
        part: NDArray[Any] = data[tuple(slice(first, end) if k == frames else slice(None) for k in range(3))]
        return part.transpose(order)

    together = 1 if data.chunks is None else data.chunks[frames]
    return Raw(shape, data.dtype, Blocks(read, shape[0], shape[1] * shape[2] * data.dtype.itemsize, together), one.pixel_nm, close)


def _hyperspy(h5: h5py.File) -> list[_Found]:
    """HyperSpy's signals (.hspy): axes in the order of the array, each with its scale, unit and whether one navigates along it."""
    if h5.attrs.get("file_format") != "HyperSpy" or not isinstance(h5.get("Experiments"), h5py.Group):
        return []
    found = []
    for name, group in h5["Experiments"].items():
        data = group.get("data") if isinstance(group, h5py.Group) else None
        if not isinstance(data, h5py.Dataset):
            continue
        axes = [dict(group[f"axis-{k}"].attrs) for k in range(data.ndim)]
        if sum(not one.get("navigate") for one in axes) == 1:
            raise UnreadableFile(f"{h5.filename}: {name} holds spectra {list(data.shape)}, not frames")
        found.append(_Found(name, data, tuple(range(data.ndim)), _pair([(one.get("scale"), one.get("units")) for one in axes[-_SPATIAL:]])))
    return found


def _velox(h5: h5py.File) -> list[_Found]:
    """Velox's images (.emd): (rows, columns, frames), with JSON in bytes beside them; named after their detectors."""
    images = h5.get("Data/Image")
    if not isinstance(images, h5py.Group):
        return []
    found: list[_Found] = []
    for key, group in images.items():
        data = group.get("Data")
        # Fourier transforms and DPC vectors are stored as pairs of numbers.
        if not isinstance(data, h5py.Dataset) or data.ndim != 3 or data.dtype.kind not in "iuf":
            continue
        about = _velox_json(group)
        result = about.get("BinaryResult", {})
        size = result.get("PixelSize", {})
        pixel_nm = _pair([(size.get("height"), result.get("PixelUnitY")), (size.get("width"), result.get("PixelUnitX"))])
        name = _detector(about) or key
        found.append(_Found(key if any(one.name == name for one in found) else name, data, (2, 0, 1), pixel_nm))
    return found


def _detector(about: Mapping[str, Any]) -> str | None:
    """The name of an image's detector, which newer files give in a list of all."""
    result = about.get("BinaryResult", {})
    listed = about.get("Detectors", {}).get(f"Detector-{result.get('DetectorIndex')}", {})
    name = result.get("Detector") or listed.get("DetectorName")
    return None if name is None else str(name)


def _velox_json(group: h5py.Group) -> Mapping[str, Any]:
    column = group["Metadata"][:, 0] if "Metadata" in group else np.zeros(0, np.uint8)
    text = bytes(column.tobytes()).split(b"\0", 1)[0]
    return json.loads(text) if text else {}


def _ncem(h5: h5py.File) -> list[_Found]:
    """EMD files of the Berkeley kind: groups with `emd_group_type` 1, an array and a dataset `dimK` for each of its axes.

    Writers disagree about the order of axes, so rows and columns are the axes called y and x, or R_y and R_x, or those with a unit of length.
    """
    found: list[_Found] = []

    def look(_: str, group: Any) -> None:
        if not isinstance(group, h5py.Group) or group.attrs.get("emd_group_type") != 1:
            return
        data = next((group[name] for name in _EMD_ARRAYS if isinstance(group.get(name), h5py.Dataset)), None)
        if data is None:
            return
        dims = [group.get(f"dim{k + 1}") for k in range(data.ndim)]
        if data.ndim not in (2, 3) or not all(isinstance(one, h5py.Dataset) for one in dims):
            return
        order = _order([_text(one.attrs.get("name", "")) for one in dims], [_unit(one) for one in dims])
        found.append(_Found(group.name.rsplit("/", 1)[-1], data, order, _pair([(_step(dims[k]), _unit(dims[k])) for k in order[-_SPATIAL:]])))

    h5.visititems(look)
    return found


def _order(names: Sequence[str], units: Sequence[str]) -> tuple[int, ...]:
    """Axes as frames, rows, columns; as they stand where nothing says otherwise."""
    axes = range(len(names))
    called = {name.strip().lower().rpartition("_")[2]: k for k, name in enumerate(names)}
    if "x" in called and "y" in called:
        y, x = called["y"], called["x"]
    else:
        lengths = [k for k in axes if nm_per(units[k]) is not None]
        y, x = lengths if len(lengths) == _SPATIAL else list(axes)[-_SPATIAL:]
    return (*(k for k in axes if k not in (y, x)), y, x)


def _nion(h5: h5py.File) -> list[_Found]:
    """Nion Swift's items (.h5), each an array with its properties as JSON: `data` in the library, `data/0` and so on in exported files."""
    data = h5.get("data")
    items = data.values() if isinstance(data, h5py.Group) else [data]
    found = []
    for item in items:
        if isinstance(item, h5py.Dataset) and "properties" in item.attrs:
            properties = json.loads(_text(item.attrs["properties"]))
            if are_spectra(properties):
                raise UnreadableFile(f"{h5.filename}: {item.name} holds spectra {list(item.shape)}, not frames")
            found.append(_Found(item.name.lstrip("/"), item, tuple(range(item.ndim)), calibrated_nm(properties, item.ndim)))
    return found


def _step(dim: h5py.Dataset) -> float | None:
    """Between neighbours along an axis, of which some writers give every position and others the first two."""
    positions = np.asarray(dim[:2], np.float64) if dim.ndim == 1 and dim.dtype.kind in "iuf" else np.zeros(0)
    return float(positions[1] - positions[0]) if len(positions) == 2 else None


def _unit(dim: h5py.Dataset) -> str:
    """EMD writes `[n_m]` for nm."""
    return re.sub(r"[\[\]_]", "", _text(dim.attrs.get("units", "")))


def _pair(steps: Sequence[tuple[Any, Any]]) -> tuple[float, float] | None:
    """Two steps with their units in nm; None where one of them is no length."""
    sizes = []
    for step, unit in steps:
        factor = nm_per(_text(unit or ""))
        size = np.nan if factor is None or step is None else abs(float(step)) * factor
        if not 0 < size < np.inf:
            return None
        sizes.append(size)
    return (sizes[0], sizes[1]) if len(sizes) == 2 else None


def _text(value: Any) -> str:
    if isinstance(value, np.ndarray):
        value = value.reshape(-1)[0] if value.size else ""
    return value.decode() if isinstance(value, bytes) else str(value)
