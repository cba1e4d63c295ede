"""What outlives a restart: the journal and the last state, in one SQLite file."""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import AtomstreamError

log = logging.getLogger("atomstream_service.journal")

_PATIENCE_S = 5.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS journal (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    t REAL NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL, target TEXT NOT NULL, reason TEXT NOT NULL,
    before TEXT NOT NULL, after TEXT NOT NULL, generation INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


@dataclass(frozen=True)
class Entry:
    """One line of the journal: who changed what, when, why, from what to what, and from which generation it holds."""

    actor: str
    action: str
    target: str
    reason: str
    before: Any
    after: Any
    generation: int


class StoreUnusable(AtomstreamError):
    """The state folder is held by another service, or damaged."""


class StoreUnwritable(AtomstreamError):
    """Something could not be written, as on a full disk; journal and state are as before."""


class Store:
    """Journal and state, held by one service at a time; each write is on disk when it returns. Safe from any thread.

    Raises
    ------
    StoreUnusable
        naming the folder.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._lock = threading.Lock()
        self._listeners: list[Callable[[Mapping[str, Any]], None]] = []
        try:
            self._database = _open(folder / "atomstream.sqlite")
        except sqlite3.DatabaseError as error:
            hint = "another service holds it" if error.sqlite_errorcode == sqlite3.SQLITE_BUSY else "it is damaged, or can't be written to"
            raise StoreUnusable(f"the state in {folder} can't be used ({error}): {hint}; choose another --state") from error

    def record(self, entry: Entry, state: Mapping[str, Any]) -> None:
        """Write a journal line and the state that it leads to, both or neither; listeners hear of it afterwards.

        Raises
        ------
        StoreUnwritable
            where the disk does not take it; nothing was written.
        """
        line = {"t": time.time(), **asdict(entry)}
        values = {**line, "before": json.dumps(line["before"]), "after": json.dumps(line["after"])}
        with self._writing():
            cursor = self._database.execute(
                "INSERT INTO journal (t, actor, action, target, reason, before, after, generation)"
                " VALUES (:t, :actor, :action, :target, :reason, :before, :after, :generation)",
                values,
            )
            self._put(state)
        about = {"actor": entry.actor, "action": entry.action, "target": entry.target, "generation": entry.generation}
        log.info("%s %s by %s: %s", entry.action, entry.target, entry.actor, entry.reason or "no reason given", extra=about)
        for listener in self._listeners:
            listener({"id": cursor.lastrowid, **line})

    def note(self, entry: Entry) -> None:
        """Write a journal line about what has been done and can't be undone; where the disk does not take it, the log has it alone."""
        try:
            self.record(entry, {})
        except StoreUnwritable as error:
            log.error("%s %s by %s is not in the journal: %s", entry.action, entry.target, entry.actor, error)

    def listen(self, listener: Callable[[Mapping[str, Any]], None]) -> None:
        """Have every line of the journal told to somebody from now on."""
        self._listeners.append(listener)

    def save(self, state: Mapping[str, Any]) -> None:
        """Write state alone; raises StoreUnwritable where the disk does not take it."""
        with self._writing():
            self._put(state)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """A transaction: all that is written within the context, or nothing."""
        with self._lock:
            try:
                with self._database:
                    self._database.execute("BEGIN")
                    yield
            except sqlite3.DatabaseError as error:
                raise StoreUnwritable(f"the journal in {self.folder} can't be written: {error}") from error

    def _put(self, state: Mapping[str, Any]) -> None:
        self._database.executemany(
            "INSERT INTO state VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            [(name, json.dumps(value)) for name, value in state.items()],
        )

    def journal(self, after: int | None = None, limit: int = 100) -> list[dict[str, Any]]:
        """The newest `limit` lines, or the first `limit` with an id above `after`; oldest first."""
        newest = "SELECT * FROM (SELECT * FROM journal ORDER BY id DESC LIMIT ?) ORDER BY id"
        with self._lock:
            if after is None:
                cursor = self._database.execute(newest, (limit,))
            else:
                cursor = self._database.execute("SELECT * FROM journal WHERE id > ? ORDER BY id LIMIT ?", (after, limit))
            names = [column[0] for column in cursor.description]
            lines = [dict(zip(names, row, strict=True)) for row in cursor]
        return [{**line, "before": json.loads(line["before"]), "after": json.loads(line["after"])} for line in lines]

    @property
    def newest(self) -> int:
        """Id of the newest line of the journal, 0 where it is empty."""
        with self._lock:
            (newest,) = self._database.execute("SELECT COALESCE(MAX(id), 0) FROM journal").fetchone()
        return int(newest)

    def read(self, name: str, default: Any = None) -> Any:
        """A value of the state; raises StoreUnusable where it is damaged."""
        try:
            with self._lock:
                row = self._database.execute("SELECT value FROM state WHERE name = ?", (name,)).fetchone()
            return default if row is None else json.loads(row[0])
        except (sqlite3.DatabaseError, ValueError) as error:
            raise StoreUnusable(f"what the state in {self.folder} holds of {name!r} can't be read ({error}); choose another --state") from error

    def close(self) -> None:
        with self._lock:
            self._database.close()


def _open(file: Path) -> sqlite3.Connection:
    database = sqlite3.connect(file, timeout=_PATIENCE_S, check_same_thread=False, isolation_level=None)
    try:
        database.execute("PRAGMA locking_mode=EXCLUSIVE")
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        database.executescript(_SCHEMA)
    except sqlite3.DatabaseError:
        database.close()
        raise
    return database
