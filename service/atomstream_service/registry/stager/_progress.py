"""The report, on disk at every step."""

from __future__ import annotations

import errno
import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from atomstream_models.bundle import BundleError

from ._report import AcceptanceReport, Check, CheckName, finite

log = logging.getLogger(__name__)

_LONGEST = 1000
"""Characters of a sentence."""
_FULL = (errno.ENOSPC, errno.EDQUOT)


class DiskFull(Exception):
    """The disk is full, which says nothing about the bundle."""


@dataclass(frozen=True)
class Finding:
    """What a check that passed found out.

    enough : no further check is needed
    about : fields of the report that are known now
    """

    detail: str
    numbers: dict[str, float] = field(default_factory=dict)
    enough: bool = False
    about: dict[str, Any] = field(default_factory=dict)


Step = tuple[CheckName, Callable[[], Finding]]


class Progress:
    """Makes checks one after the other and keeps the report on disk up to date."""

    def __init__(self, file: Path, notes: list[str]) -> None:
        self._file = file
        self._started = time.perf_counter()
        self._report = AcceptanceReport(notes=tuple(notes))

    def make(self, steps: Iterator[Step]) -> None:
        """Make the checks up to the first that fails.

        Raises
        ------
        DiskFull
            where a check failed for lack of room.
        """
        for name, step in steps:
            self._write(under_way=name)
            begun = time.perf_counter()
            try:
                found = step()
            except Exception as error:  # a hostile file can make any reader stumble over anything
                if _disk_full(error):
                    raise DiskFull(str(error)) from error
                self._note(Check(name, False, _sentence(error), seconds=time.perf_counter() - begun))
                return
            self._note(Check(name, True, found.detail, finite(found.numbers), time.perf_counter() - begun), **found.about)
            if found.enough:
                return

    def _note(self, check: Check, **about: Any) -> None:
        notes = (*self._report.notes, *about.pop("notes", ()))
        self._write(checks=(*self._report.checks, check), under_way=None, notes=notes, **about)

    def _write(self, **changes: Any) -> None:
        self._report = replace(self._report, seconds=time.perf_counter() - self._started, **changes)
        unfinished = self._file.with_suffix(".unfinished")
        try:
            unfinished.write_text(json.dumps(self._report.as_json()), encoding="utf-8")
            os.replace(unfinished, self._file)
        except OSError as error:
            if _disk_full(error):
                raise DiskFull(str(error)) from error
            raise


def _sentence(error: Exception) -> str:
    """What to tell the bundle's maker; the traceback of what nobody thought of goes to the log."""
    if isinstance(error, BundleError):
        # Parts of it come out of the bundle or the runtime: line breaks and control characters have no place in a log.
        said = "".join(one if one.isprintable() else " " for one in str(error))
        return " ".join(said.split())[:_LONGEST]
    if isinstance(error, MemoryError):
        return "it needs more memory than is allowed"
    said = f"{type(error).__name__}: {error}"
    log.error("a check met what nobody thought of: %s", said, exc_info=error)
    return said


def _disk_full(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        error = error.__cause__
    return False
