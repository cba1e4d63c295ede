"""Files that stay as they are, whatever happens to the process or the power."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ._errors import NoRoom

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_WRITING = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


@contextmanager
def room(place: Path) -> Iterator[None]:
    """Turn the system's errors for a full disk into one that names the place.

    Raises
    ------
    NoRoom
        in place of the system's error.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise NoRoom(f"there is no room left for a bundle on the disk that holds {place}: {error.strerror}") from error
        raise


def settle(folder: Path) -> int:
    """Make a folder's files read-only and have them written to the disk; returns their size in bytes."""
    size = 0
    for path in folder.rglob("*"):
        if path.is_dir():
            _sync_folder(path)
            continue
        settle_file(path)
        size += path.stat().st_size
    _sync_folder(folder)
    return size


def settle_file(path: Path) -> None:
    """Make a file read-only and have it written to the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
    path.chmod(stat.S_IMODE(path.stat().st_mode) & ~_WRITING)


def arrive(home: Path, to: Path) -> None:
    """Move a folder to its place, which must be free, in one step that a power cut does not undo.

    Raises
    ------
    FileExistsError
        where the place is taken.
    """
    to.parent.mkdir(parents=True, exist_ok=True)
    if to.exists():
        raise FileExistsError(errno.EEXIST, "is there already", str(to))
    home.rename(to)
    _sync_folder(to.parent)
    _sync_folder(to.parent.parent)


def discard(folder: Path) -> None:
    """Remove a folder with its read-only files; what can't be removed is left."""
    with suppress(OSError):
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink():
                path.chmod(stat.S_IMODE(path.stat().st_mode) | stat.S_IWUSR)  # Windows removes nothing that is read-only
    shutil.rmtree(folder, ignore_errors=True)


def _sync_folder(folder: Path) -> None:
    if sys.platform != "win32":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
