from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from atomstream_models.errors import InputError

if sys.platform == "win32":
    import msvcrt

    def _take(handle: int) -> None:
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _take(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Be the only one who writes into a folder; the system takes the lock off a process that has been killed.

    Raises
    ------
    InputError
        where another process is at it.
    """
    file = folder / ".predict.lock"
    handle = os.open(file, os.O_RDWR | os.O_CREAT)
    try:
        try:
            _take(handle)
        except OSError as error:
            raise InputError(f"another process is writing into {folder}") from error
        yield
        with suppress(PermissionError):  # Windows lets nobody remove a file that is open; one that is left behind is taken the next time
            file.unlink(missing_ok=True)
    finally:
        os.close(handle)
