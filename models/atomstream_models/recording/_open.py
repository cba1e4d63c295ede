"""Opening HDF5 files, also those whose writer was killed."""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO

import h5py

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_VERSION, _FLAGS, _CHECKED, _SIZE = 8, 11, 44, 48
"""Of a superblock of version 3: the version, the file's flags, the checksum over what is before it, and its end."""


def is_hdf5(file: Path) -> bool:
    """Whether a file begins as HDF5 files do."""
    try:
        with file.open("rb") as data:
            return data.read(len(_SIGNATURE)) == _SIGNATURE
    except OSError:
        return False


def open_hdf5(file: Path) -> h5py.File:
    """An HDF5 file to read from, whether its writer closed it, still writes it or was killed.

    HDF5 marks a file while somebody writes, and opens it no more once its writer was killed. A writer in SWMR mode leaves it whole,
    which is what opening for SWMR reading is for; outside that mode the mark is overlooked, without writing to the file.

    Raises
    ------
    OSError
        where it is none, or damaged.
    """
    problems = []
    for attempt in (_plain, _while_written, _unmarked):
        try:
            return attempt(file)
        except (OSError, RuntimeError) as error:
            problems.append(error)
    first = problems[0]
    raise first if isinstance(first, OSError) else OSError(str(first)) from first


def _plain(file: Path) -> h5py.File:
    return h5py.File(file, "r", locking=False)


def _while_written(file: Path) -> h5py.File:
    return h5py.File(file, "r", locking=False, swmr=True)


def _unmarked(file: Path) -> h5py.File:
    # h5py keeps the file object until the HDF5 file is closed.
    return h5py.File(_Unmarked(file.open("rb")), "r")


class _Unmarked(io.RawIOBase):
    """A file's bytes with the mark of an open writer taken off the superblock (HDF5 File Format Specification 3.0, section II.A)."""

    def __init__(self, data: BinaryIO) -> None:
        super().__init__()
        self._data = data
        head = bytearray(data.read(_SIZE))
        if len(head) < _SIZE or not head.startswith(_SIGNATURE) or head[_VERSION] != 3:
            data.close()
            raise OSError("not an HDF5 file with a superblock of version 3")
        head[_FLAGS] = 0
        head[_CHECKED:] = _lookup3(bytes(head[:_CHECKED])).to_bytes(4, "little")
        self._head = bytes(head)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._data.seek(offset, whence)

    def tell(self) -> int:
        return self._data.tell()

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        at = self._data.tell()
        view = memoryview(buffer).cast("B")
        read = self._data.readinto(view)  # type: ignore[attr-defined]
        if at < _SIZE:
            patch = self._head[at : at + read]
            view[: len(patch)] = patch
        return int(read)

    def close(self) -> None:
        self._data.close()
        super().close()


_32 = 0xFFFFFFFF


def _lookup3(data: bytes) -> int:
    """Bob Jenkins' lookup3 `hashlittle` with initial value 0, HDF5's checksum of metadata."""
    a = b = c = (0xDEADBEEF + len(data)) & _32
    at = 0
    while len(data) - at > 12:
        a, b, c = _mix(*_add((a, b, c), data[at : at + 12]))
        at += 12
    if at == len(data):
        return c
    return _final(*_add((a, b, c), data[at:].ljust(12, b"\0")))


def _add(state: tuple[int, int, int], block: bytes) -> tuple[int, int, int]:
    a, b, c = ((one + int.from_bytes(block[4 * k : 4 * k + 4], "little")) & _32 for k, one in enumerate(state))
    return a, b, c


def _rotated(value: int, bits: int) -> int:
    return ((value << bits) | (value >> (32 - bits))) & _32


def _mix(a: int, b: int, c: int) -> tuple[int, int, int]:
    for bits in (4, 6, 8, 16, 19, 4):
        # One round, after which the three change places.
        a = ((a - c) & _32) ^ _rotated(c, bits)
        c = (c + b) & _32
        a, b, c = b, c, a
    return a, b, c


def _final(a: int, b: int, c: int) -> int:
    for bits in (14, 11, 25, 16, 4, 14, 24):
        c = ((c ^ b) - _rotated(b, bits)) & _32
        a, b, c = b, c, a
    # After seven rounds the names have moved on once.
    return b
