"""The files that torch.save writes: a zip, or before PyTorch 1.6 a row of pickles."""

from __future__ import annotations

import io
import math
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from ._errors import CheckpointRefused
from ._pickle import Storage, StoredTensor, read_pickle

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001


@dataclass(frozen=True)
class CheckpointLimits:
    """What a checkpoint may be at most: bytes of the file and of all that it unpacks to, bytes of the pickle in it, entries of the zip."""

    file_bytes: int = 4 << 30
    pickle_bytes: int = 16 << 20
    entries: int = 1 << 16


LIMITS = CheckpointLimits()


@dataclass(frozen=True)
class Saved:
    """What a file of torch.save holds, while it is open.

    content : plain Python values, with `StoredTensor` where there are tensors
    """

    name: str
    content: Any
    _read: Callable[[Storage], bytes]

    def tensor(self, stored: StoredTensor) -> Tensor:
        """A tensor with its numbers; those that are not whole come as float32.

        Raises
        ------
        CheckpointRefused
            where the file is shorter than the tensor, or the tensor shows the same number in many places.
        """
        storage, shape, stride = stored.storage, stored.shape, stored.stride
        size, bytes_wanted = math.prod(shape), storage.elements * storage.dtype.itemsize
        reach = stored.offset + sum((n - 1) * step for n, step in zip(shape, stride, strict=False)) + 1 if size else 0
        if min(stored.offset, *shape, *stride, 0) < 0 or len(shape) != len(stride) or max(reach, size) > storage.elements:
            raise CheckpointRefused(f"{self.name} is damaged: a tensor of shape {list(shape)} does not fit the {storage.elements} numbers it is said to be of")
        data = self._read(storage)
        if len(data) != bytes_wanted:
            raise CheckpointRefused(f"{self.name} is damaged: {len(data)} bytes lie where {bytes_wanted} should")
        flat = torch.frombuffer(bytearray(data), dtype=storage.dtype) if data else torch.empty(0, dtype=storage.dtype)
        tensor = flat.as_strided(shape, stride, stored.offset).clone()
        return tensor.float() if tensor.is_floating_point() else tensor


@contextmanager
def open_saved(path: Path, limits: CheckpointLimits = LIMITS) -> Iterator[Saved]:
    """What torch.save wrote into a file, read without running anything of it; tensors are read when they are asked for.

    Raises
    ------
    CheckpointRefused
        for anything that is no such file, is damaged, is larger than the limits, or wants code to run.
    """
    try:
        with path.open("rb") as file:
            if (size := path.stat().st_size) > limits.file_bytes:
                raise CheckpointRefused(f"{path.name} has {size} bytes, more than the {limits.file_bytes} allowed")
            yield _from_zip(path.name, file, limits) if zipfile.is_zipfile(file) else _from_legacy(path.name, file, limits)
    except (OSError, MemoryError) as error:
        raise CheckpointRefused(f"{path} can't be read: {error}") from error


def _from_zip(name: str, file: BinaryIO, limits: CheckpointLimits) -> Saved:
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise CheckpointRefused(f"{name} is a damaged zip: {error}") from error
    sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
    if len(sizes) > limits.entries or sum(sizes.values()) > limits.file_bytes:
        raise CheckpointRefused(f"{name} unpacks to {len(sizes)} entries of {sum(sizes.values())} bytes, more than allowed")
    pickles = [entry for entry in sizes if entry == "data.pkl" or entry.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise CheckpointRefused(f"{name} is a zip, but not one of torch.save: it holds {len(pickles)} entries data.pkl")
    (pickled,) = pickles
    if sizes[pickled] > limits.pickle_bytes:
        raise CheckpointRefused(f"{name}: its pickle has {sizes[pickled]} bytes, more than the {limits.pickle_bytes} allowed")
    root = pickled.removesuffix("data.pkl")

    def read(entry: str) -> bytes:
        try:
            return archive.read(root + entry)
        except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError, RuntimeError, ValueError) as error:
            raise CheckpointRefused(f"{name} is damaged at {entry!r}: {error}") from error

    if f"{root}byteorder" in sizes and read("byteorder") != b"little":
        raise CheckpointRefused(f"{name} was written on a big-endian machine; load it there and save it elsewhere")
    return Saved(name, read_pickle(io.BytesIO(read("data.pkl")), name), lambda storage: read(f"data/{storage.key}"))


def _from_legacy(name: str, file: BinaryIO, limits: CheckpointLimits) -> Saved:
    file.seek(0)
    stream = io.BytesIO(file.read(limits.pickle_bytes))
    if stream.getvalue()[:1] != b"\x80" or read_pickle(stream, name) != _LEGACY_MAGIC or read_pickle(stream, name) != _LEGACY_PROTOCOL:
        raise CheckpointRefused(f"{name} is not a file of torch.save")
    system = read_pickle(stream, name)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise CheckpointRefused(f"{name} was written on a big-endian machine; load it there and save it elsewhere")
    storages: dict[str, Storage] = {}
    content = read_pickle(stream, name, storages)
    keys = read_pickle(stream, name)
    places = _legacy_places(name, file, stream.tell(), keys, storages)

    def read(storage: Storage) -> bytes:
        file.seek(places[storage.key])
        return file.read(storage.elements * storage.dtype.itemsize)

    return Saved(name, content, read)


def _legacy_places(name: str, file: BinaryIO, start: int, keys: object, storages: dict[str, Storage]) -> dict[str, int]:
    """Where in the file the numbers of each storage begin: one storage follows the other, each after its count."""
    places: dict[str, int] = {}
    for key in keys if isinstance(keys, list) else []:
        file.seek(start)
        count = file.read(8)
        if key not in storages or len(count) != 8 or struct.unpack("<q", count)[0] != storages[key].elements:
            raise CheckpointRefused(f"{name} is damaged: storage {str(key)[:40]!r} is not as its pickle says")
        places[key] = start + 8
        start += 8 + storages[key].elements * storages[key].dtype.itemsize
    if missing := set(storages) - set(places):
        raise CheckpointRefused(f"{name} is damaged: {len(missing)} storages are missing")
    return places
