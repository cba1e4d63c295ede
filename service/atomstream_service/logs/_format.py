"""What a line looks like."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

FIELDS = ("source", "session", "seq", "code", "generation", "member", "actor", "action", "target", "count")
"""What a line says beside its message where it applies: give them to a logger as `extra`."""


class JsonFormatter(logging.Formatter):
    """Each record as one JSON object on one line: time (UTC), level, process, logger, message, whichever of `FIELDS` apply, and exception.

    process : which process speaks, where a record does not name another one (`process_name`)
    """

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": _time_of(record),
            "level": record.levelname.lower(),
            "process": _process_of(record, self._process),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields_of(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class TextFormatter(logging.Formatter):
    """The same for people: `TIME LEVEL process logger: message field=value`, and a traceback below where there is one."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        named = "".join(f" {name}={_on_one_line(str(value))}" for name, value in _fields_of(record).items())
        line = f"{_time_of(record)} {record.levelname} {_process_of(record, self._process)} {record.name}: {_on_one_line(record.getMessage())}{named}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _time_of(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _process_of(record: logging.LogRecord, process: str) -> str:
    return str(getattr(record, "process_name", process))


def _fields_of(record: logging.LogRecord) -> dict[str, object]:
    return {name: value for name in FIELDS if (value := getattr(record, name, None)) is not None}


def _on_one_line(text: str) -> str:
    """Text that can't pretend to be another line, whatever a frame's header holds."""
    return text if text.isprintable() else "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
