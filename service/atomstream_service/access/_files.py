from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from ..errors import AtomstreamError


class AccessFileError(AtomstreamError):
    """A file of tokens or keys that can't be read, written or used."""


def read_text(file: Path, what: str) -> str | None:
    """A small text file, or None where there is none.

    Raises
    ------
    AccessFileError
        naming the file.
    """
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise AccessFileError(f"the {what} in {file} can't be read: {error}") from error


@contextlib.contextmanager
def exclusive(file: Path) -> Iterator[None]:
    """Only one process at a time reads, changes and writes `file` within this."""
    lock = file.with_name(f"{file.name}.lock")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        raise AccessFileError(f"{file} is being changed by another command; if none runs, delete {lock}") from None
    except OSError as error:
        raise AccessFileError(f"{file} can't be written: {error.strerror}") from error
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


def write_private(file: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all.

    Raises
    ------
    AccessFileError
        naming the file.
    """
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        fresh.replace(file)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise AccessFileError(f"{file} can't be written: {error.strerror}") from error
