"""A bundle's zip that comes in pieces."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from ._disk import discard, room
from ._entry import RegistryEntry
from ._errors import UploadTooLarge

_PIECE = 1 << 20

Add = Callable[[Path, Path, str, str], tuple[RegistryEntry, bool]]
"""Stages and registers a zip: (zip, scratch folder, source, actor) -> entry, and whether it is new."""


class Upload:
    """Pieces are written to the disk as they come; at the end of the `with` nothing of them is left.

    scratch : a folder that is this upload's own
    limit_bytes : largest zip

    new : after `accept`, whether the bundle was not there before
    """

    def __init__(self, scratch: Path, limit_bytes: int, add: Add) -> None:
        self._scratch = scratch
        self._limit = limit_bytes
        self._add = add
        self._archive = scratch / "upload.atomstream"
        self._file = self._archive.open("wb", buffering=0)
        self._written = 0
        self.new = False

    def write(self, piece: bytes) -> None:
        """Take the next piece.

        Raises
        ------
        UploadTooLarge
            where it goes beyond the limit.
        NoRoom
            where the disk is full.
        """
        self._written += len(piece)
        if self._written > self._limit:
            raise UploadTooLarge(f"the bundle has more than the {self._limit} bytes allowed")
        with room(self._scratch.parents[1]):
            left = memoryview(piece)
            while left:
                left = left[self._file.write(left) :]

    def write_all(self, stream: BinaryIO) -> None:
        """Take all that a stream holds, as `write`."""
        while piece := stream.read(_PIECE):
            self.write(piece)

    def accept(self, source: str, actor: str) -> RegistryEntry:
        """Stage and register what has been written; the very bundle that is there already is answered with its entry.

        Raises
        ------
        BundleRefused
            with the report, where a check failed.
        VersionTaken
            where another bundle has its name and version.
        NoRoom
            where the disk is full.
        """
        self._file.close()
        with room(self._scratch.parents[1]):
            entry, self.new = self._add(self._archive, self._scratch, source, actor)
        return entry

    def __enter__(self) -> Upload:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()
        discard(self._scratch)
