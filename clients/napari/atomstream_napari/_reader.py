"""`atomstream.recording.v1` read with h5py alone; Atomstream's docs/recordings.md describes the layout."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import h5py
import numpy as np

Layer = tuple[Any, dict[str, Any], str]
"""Data, settings and kind of a layer, as napari takes them."""

_SCHEMA = "atomstream.recording.v1"
_POINT_SHARE = 0.7
"""Diameter of a point as a share of an atom's."""


class Frames:
    """Rows of an array in a file, read as they are shown.

    shape, dtype, ndim : as of an array
    """

    def __init__(self, data: Any, rows: Sequence[int], inner: tuple[Any, ...] = ()) -> None:
        """inner : what to take of each row"""
        self._data = data
        self._rows = np.asarray(rows, np.int64)
        self._inner = inner
        self.shape: tuple[int, ...] = (len(self._rows), *data.shape[1 + len(inner) :])
        self.dtype = data.dtype
        self.ndim = len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        first, *rest = key if isinstance(key, tuple) else (key,)
        if first is Ellipsis:
            return np.asarray(self)[key]
        chosen = self._rows[first]
        if np.ndim(chosen) == 0:
            return self._data[(int(chosen), *self._inner)][tuple(rest)]
        images = [self._data[(int(row), *self._inner)] for row in chosen]
        return (np.stack(images) if images else np.empty((0, *self.shape[1:]), self.dtype))[(slice(None), *rest)]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        images = self[:]
        return images if dtype is None else images.astype(dtype)


def napari_get_reader(path: str | list[str]) -> Callable[[Any], list[Layer]] | None:
    """What napari asks first: `read_layers` for a recording of Atomstream, None for any other file."""
    if not isinstance(path, str):
        return None
    try:
        with _opened(path) as h5:
            return read_layers if h5.attrs.get("schema") == _SCHEMA else None
    except OSError:
        return None


def read_layers(path: str | list[str]) -> list[Layer]:
    """Layers of a recording: for each kind of frames an image and its points, and two for each class where maps were written.

    The file stays open as long as a layer shows it.
    """
    h5 = _opened(path if isinstance(path, str) else path[0])
    entry = h5["entry"]
    count = int(entry["committed"][0])
    table = {name: data[:count] for name, data in entry["frames"].items()}
    layers: list[Layer] = []
    for number in np.unique(table["series"]):
        frames = np.flatnonzero(table["series"] == number)
        group = entry[f"images_{number:03d}"]
        scale = _scale(table["pixel_size_nm"][frames[0]])
        name = f"{group.attrs['source']} {group.attrs['channel']}"
        classes = tuple(_report(entry, int(frames[0]))["classes"])
        layers.append((Frames(group["data"], table["row"][frames]), {"name": name, "scale": scale}, "image"))
        layers += _maps(entry, table, frames, classes, {"scale": scale})
        layers.append(_points(entry, table, frames, classes, {"name": f"{name} atoms", "scale": scale}))
    return layers


def _opened(path: str) -> Any:
    try:
        return h5py.File(path, "r", locking=False)
    except OSError:
        # One that is being written, or whose writer was killed.
        return h5py.File(path, "r", locking=False, swmr=True)


def _scale(size_nm: Any) -> tuple[float, float, float]:
    y, x = (1.0 if math.isnan(side) else float(side) for side in size_nm)
    return 1.0, y, x


def _report(entry: Any, number: int) -> dict[str, Any]:
    log = entry["result_headers"]
    first = int(log["end"][number - 1]) if number else 0
    report: dict[str, Any] = json.loads(bytes(log["bytes"][first : int(log["end"][number])]))
    return report


def _maps(entry: Any, table: dict[str, Any], frames: Any, classes: tuple[str, ...], about: dict[str, Any]) -> list[Layer]:
    groups = np.unique(table["maps"][frames])
    if len(groups) != 1 or groups[0] < 0:
        return []
    group, rows = entry[f"maps_{groups[0]:03d}"], table["maps_row"][frames]
    return [
        (Frames(group[key], rows, (k,)), {"name": f"{word} {name}", "colormap": "magma", "blending": "additive", "visible": False, **about}, "image")
        for key, word in (("data", "mean"), ("std", "std"))
        for k, name in enumerate(classes)
    ]


def _points(entry: Any, table: dict[str, Any], frames: Any, classes: tuple[str, ...], about: dict[str, Any]) -> Layer:
    columns = [str(name) for name in entry["atoms/table"].attrs["columns"]]
    spans = [(int(table["atoms_offset"][k]), int(table["atoms_count"][k])) for k in frames]
    atoms = np.concatenate([entry["atoms/table"][first : first + count] for first, count in spans])
    place = np.repeat(np.arange(len(frames)), [count for _, count in spans])
    features: dict[str, Any] = {name: atoms[:, k] for k, name in enumerate(columns) if name not in ("y", "x", "class")}
    features["class"] = np.array(classes, dtype=object)[atoms[:, columns.index("class")].astype(int)]
    features["frame"] = table["seq"][frames][place]
    area = float(np.median(atoms[:, columns.index("area")])) if len(atoms) else 1.0
    points = np.column_stack([place, atoms[:, columns.index("y")], atoms[:, columns.index("x")]]).astype(float)
    look = {"size": max(1.0, _POINT_SHARE * 2 * math.sqrt(area / math.pi)), "face_color": "class", "opacity": 0.6}
    return points, {"features": features, "metadata": {"file": entry.file.filename}, **look, **about}, "points"
