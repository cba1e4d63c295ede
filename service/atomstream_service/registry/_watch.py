"""A folder that bundles can be dropped into."""

from __future__ import annotations

import itertools
import json
import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from atomstream_models.bundle import LIMITS

from ._entry import RegistryEntry
from ._errors import BundleRefused, NoRoom, RegistryError
from ._registry import Registry

log = logging.getLogger(__name__)

_SUFFIX = ".atomstream"
_SOURCE = "watch folder"
_RETRY_S = 60.0

OnAdded = Callable[[RegistryEntry], None]
OnRefused = Callable[[Path, RegistryError], None]

_Look = tuple[int, int]
"""A file's size and time of change."""


class WatchFolder:
    """Registers every bundle's zip that is dropped into a folder; it never activates one.

    A file is taken once two looks find it unchanged, so that one that is still being copied is left alone, and so are hidden files and names
    that don't end in `.atomstream`, such as `x.atomstream.part`. It is then moved to `accepted/` or `refused/`, with a report as JSON beside it. While
    the disk is full it stays where it is, and is tried again.

    folder : made where it isn't there
    on_added : called with the entry of each bundle that is new; not for one that was there already
    on_refused : called with the file's new place and why
    every_s : seconds between two looks
    limit_bytes : largest zip
    """

    def __init__(
        self, folder: Path, registry: Registry, on_added: OnAdded, on_refused: OnRefused, *, every_s: float = 1.0, limit_bytes: int = LIMITS.total_bytes
    ) -> None:
        self._folder = folder
        self._registry = registry
        self._on_added = on_added
        self._on_refused = on_refused
        self._every_s = every_s
        self._limit = limit_bytes
        self._seen: dict[Path, _Look] = {}
        self._not_before: dict[Path, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch-folder", daemon=True)
        for one in (folder, folder / "accepted", folder / "refused"):
            one.mkdir(parents=True, exist_ok=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self, patience_s: float = 5.0) -> None:
        """Take no further file. One that is being taken is waited for so long; left behind, it is found again at the next start."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(patience_s)

    def __enter__(self) -> WatchFolder:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            try:
                self._look()
            except Exception:
                # A share that is away for a while, a listener that fails: the next look may be better.
                log.exception("looking into %s failed; it is tried again", self._folder)

    def _look(self) -> None:
        seen = {path: look for path in sorted(self._folder.iterdir()) if (look := _look_at(path)) is not None}
        ready = [path for path, look in seen.items() if self._seen.get(path) == look and time.monotonic() >= self._not_before.get(path, 0.0)]
        self._seen = seen
        self._not_before = {path: when for path, when in self._not_before.items() if path in seen}
        for path in ready:
            if not self._stop.is_set():
                # Whatever goes wrong with this file, the others get their turn before it is tried again.
                self._not_before[path] = time.monotonic() + _RETRY_S
                self._take(path)

    def _take(self, path: Path) -> None:
        try:
            with path.open("rb") as stream, self._registry.upload(self._limit) as upload:
                upload.write_all(stream)
                entry, new = upload.accept(_SOURCE, _SOURCE), upload.new
        except NoRoom as error:
            log.error("%s stays where it is and is tried again in %.0f s: %s", path, _RETRY_S, error)
        except FileNotFoundError:
            log.info("%s has gone again", path)
        except RegistryError as error:
            log.warning("%s is refused: %s", path.name, error)
            report = error.report.as_json() if isinstance(error, BundleRefused) else None
            to = self._move(path, "refused", {"accepted": False, "error": str(error), "report": report})
            self._on_refused(to, error)
        else:
            self._move(path, "accepted", {"accepted": True, "new": new, "entry": entry.as_json()})
            if new:
                self._on_added(entry)

    def _move(self, path: Path, into: str, report: dict[str, Any]) -> Path:
        """Move a file out of the way, under a name that is free, with its report beside it."""
        folder = self._folder / into
        to = next(one for one in _names(folder, path.stem) if not one.exists() and not _beside(one).exists())
        _beside(to).write_text(json.dumps({"file": path.name, **report}, indent=2) + "\n", encoding="utf-8")
        shutil.move(path, to)
        self._seen.pop(path, None)
        self._not_before.pop(path, None)
        return to


def _look_at(path: Path) -> _Look | None:
    """A file's size and time of change; None for what is not to be taken."""
    if path.name.startswith(".") or path.suffix != _SUFFIX or path.is_symlink() or not path.is_file():
        return None
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_size, found.st_mtime_ns


def _names(folder: Path, stem: str) -> Iterator[Path]:
    yield folder / f"{stem}{_SUFFIX}"
    for number in itertools.count(2):
        yield folder / f"{stem}-{number}{_SUFFIX}"


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")
