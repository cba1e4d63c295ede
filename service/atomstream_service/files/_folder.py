from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from atomstream_models.movies import SUFFIXES

_FOLDERS = (".zspy",)
"""Formats of which one "file" is a folder."""

_State = tuple[int, int]


class FolderWatch:
    """Files of frames that appear in a folder, or change there, and have stopped growing.

    Folders are looked through again and again rather than subscribed to, because shares of other machines don't tell of changes. Folders inside it are looked
    through, too; names that begin with a dot, and those of other kinds of files, are not for us.

    folder : where to look
    settle_s : seconds for which size and time of a file must not have changed
    existing : whether those that are there from the beginning are news
    clock : seconds that never go back
    """

    def __init__(self, folder: Path, settle_s: float, existing: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._settle_s = settle_s
        self._clock = clock
        self._since: dict[Path, tuple[_State, float]] = {}
        self._told: dict[Path, _State] = {} if existing else dict(self._there())

    def finished(self) -> list[Path]:
        """Files that have become whole since the last call, in the order in which they were written."""
        now, there = self._clock(), dict(self._there())
        # What was told stays known when it can't be seen: a share that is away for a moment would make news of all its files.
        for gone in set(self._since) - set(there):
            del self._since[gone]
        news = []
        for file, state in there.items():
            if self._told.get(file) == state:
                continue
            if self._since.get(file, (None,))[0] != state:
                self._since[file] = (state, now)
            elif now - self._since[file][1] >= self._settle_s:
                self._told[file] = state
                del self._since[file]
                news.append(file)
        return sorted(news, key=lambda file: (there[file][1], str(file)))

    def _there(self) -> Iterator[tuple[Path, _State]]:
        for here, folders, files in os.walk(self._folder):
            units = [name for name in folders if Path(name).suffix.lower() in _FOLDERS]
            folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in units)
            for name in (*files, *units):
                path = Path(here, name)
                if not name.startswith(".") and path.suffix.lower() in SUFFIXES and (state := _state(path)) is not None:
                    yield path, state


def _state(path: Path) -> _State | None:
    """(bytes, time of the last change in ns); None for what is empty, or has gone meanwhile."""
    try:
        parts = [one.stat() for one in path.rglob("*") if one.is_file()] if path.is_dir() else [path.stat()]
    except OSError:
        return None
    size = sum(one.st_size for one in parts)
    return (size, max(one.st_mtime_ns for one in parts)) if size else None
