"""Where lines go."""

from __future__ import annotations

import atexit
import logging
import queue
import sys
import time
from logging.handlers import QueueHandler, QueueListener
from typing import Literal, TextIO

from ._format import JsonFormatter, TextFormatter

LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]

_MOST_WAITING = 10_000
_PATIENCE = 200
_listeners: list[QueueListener] = []


def set_up_logs(form: LogFormat, level: LogLevel, process: str, stream: TextIO | None = None) -> None:
    """Send every logger's lines, and Python's warnings, to a stream from now on.

    process : the name of this process on each line
    stream : None for standard error

    A thread of its own writes them, so that no frame waits for a terminal or a pipe that nobody reads; where thousands wait already, more are lost.
    """
    flush_logs()
    writer = logging.StreamHandler(sys.stderr if stream is None else stream)
    writer.setFormatter(JsonFormatter(process) if form == "json" else TextFormatter(process))
    waiting: queue.Queue[logging.LogRecord] = queue.Queue(_MOST_WAITING)
    root = logging.getLogger()
    root.handlers[:] = [_Handing(waiting)]
    root.setLevel(level.upper())
    logging.captureWarnings(True)
    listener = QueueListener(waiting, writer)
    listener.start()
    _listeners.append(listener)


def flush_logs() -> None:
    """Write what waits, and stop writing: for the end of a process."""
    while _listeners:
        listener = _listeners.pop()
        for _ in range(_PATIENCE):
            try:
                listener.stop()
                break
            except queue.Full:
                time.sleep(0.01)


atexit.register(flush_logs)


class _Handing(QueueHandler):
    """Hands records over as they are, traceback and all; one that finds no place is lost."""

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        record.msg, record.args = record.getMessage(), None
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            return
