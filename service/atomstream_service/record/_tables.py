"""Arrays of a recording that grow, gathered in memory until they are written together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

_ROWS = 1024
_LOG_CHUNK = 1 << 16

FRAME_COLUMNS: Mapping[str, tuple[str, str]] = {
    "seq": ("<i8", ""),
    "t_recv": ("<f8", "s"),
    "t_end": ("<f8", "s"),
    "t_done": ("<f8", "s"),
    "generation": ("<i8", ""),
    "members_used": ("<u2", ""),
    "series": ("<i4", ""),
    "row": ("<i8", ""),
    "atoms_offset": ("<i8", ""),
    "atoms_count": ("<i8", ""),
    "maps": ("<i4", ""),
    "maps_row": ("<i8", ""),
    "drift": ("<i4", ""),
    "drift_row": ("<i8", ""),
    "dropped_before": ("<i8", ""),
}
"""One entry a frame: type and unit. Times are seconds since the epoch; `pixel_size_nm`, two a frame, stands beside them."""


def make(group: h5py.Group, name: str, shape: tuple[int, ...], dtype: Any, chunk: tuple[int, ...], **more: Any) -> h5py.Dataset:
    """A dataset of no rows yet, to grow along its first axis."""
    return group.create_dataset(name, (0, *shape), dtype, maxshape=(None, *shape), chunks=chunk, **more)


def append(data: h5py.Dataset, rows: NDArray[Any]) -> None:
    """More rows at the end."""
    before = len(data)
    data.resize(before + len(rows), axis=0)
    data[before:] = rows


class FrameTable:
    """What is known of each frame in numbers.

    rows : those not written yet
    """

    def __init__(self) -> None:
        self.rows: list[Mapping[str, Any]] = []

    @staticmethod
    def create(group: h5py.Group) -> None:
        for name, (dtype, unit) in FRAME_COLUMNS.items():
            data = make(group, name, (), dtype, (_ROWS,))
            if unit:
                data.attrs["units"] = unit
        make(group, "pixel_size_nm", (2,), "<f8", (_ROWS, 2)).attrs["units"] = "nm"

    def write(self, group: h5py.Group) -> None:
        if self.rows:
            for name in (*FRAME_COLUMNS, "pixel_size_nm"):
                append(group[name], np.array([row[name] for row in self.rows], group[name].dtype))
            self.rows.clear()


class Log:
    """Texts of any length: one array of bytes, and where each ends. HDF5's own texts of variable length don't go with SWMR.

    count : texts added, whether written yet or not
    """

    def __init__(self) -> None:
        self.count = 0
        self._end = 0
        self._texts: list[bytes] = []

    @staticmethod
    def create(group: h5py.Group, what: str) -> None:
        group.attrs["NX_class"] = "NXcollection"
        group.attrs["description"] = f"{what}, UTF-8 JSON: text k is bytes[end[k-1]:end[k]]"
        make(group, "bytes", (), "u1", (_LOG_CHUNK,))
        make(group, "end", (), "<i8", (_ROWS,))

    def add(self, text: bytes) -> None:
        self._texts.append(text)
        self.count += 1

    def write(self, group: h5py.Group) -> None:
        if self._texts:
            ends = self._end + np.cumsum([len(text) for text in self._texts])
            append(group["bytes"], np.frombuffer(b"".join(self._texts), np.uint8))
            append(group["end"], ends)
            self._end = int(ends[-1])
            self._texts.clear()


class AtomTable:
    """The atoms of all frames, one after another."""

    def __init__(self) -> None:
        self._atoms: list[NDArray[np.float32]] = []

    @staticmethod
    def create(group: h5py.Group, columns: Sequence[str]) -> None:
        data = make(group, "table", (len(columns),), "<f4", (4 * _ROWS, len(columns)))
        data.attrs["columns"] = np.array(columns, h5py.string_dtype())

    def add(self, atoms: NDArray[np.float32]) -> None:
        self._atoms.append(atoms)

    def write(self, data: h5py.Dataset) -> None:
        if self._atoms:
            append(data, np.concatenate(self._atoms))
            self._atoms.clear()
