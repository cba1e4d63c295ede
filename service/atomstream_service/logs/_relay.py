"""What another process has said, written as its own lines."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass


@dataclass(frozen=True)
class Said:
    """A line of another process; level : as `logging` has it."""

    level: int
    message: str


def read_said(text: str) -> list[Said]:
    """The lines of a process that logs as JSON; what else it, or a library in it, has printed is a warning."""
    return [_said(line) for line in text.splitlines() if line.strip()]


def relay(log: logging.Logger, process: str, said: list[Said]) -> None:
    """Write lines into this process's log, under the name of the process that said them.

    Whatever they hold, each stays one line: they may come from one that has handled a stranger's files.
    """
    for one in said:
        log.log(one.level, "%s", one.message, extra={"process_name": process})


def _said(line: str) -> Said:
    try:
        read = json.loads(line)
        level, message = logging.getLevelNamesMapping()[read["level"].upper()], [read["message"], read.get("exception", "")]
        return Said(level, "\n".join(filter(None, message)))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Said(logging.WARNING, line)
