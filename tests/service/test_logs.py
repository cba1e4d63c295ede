from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
import time
from typing import Any

import pytest

from atomstream_service.logs import JsonFormatter, TextFormatter, Throttle, read_said, relay


def _record(message: str, **fields: object) -> logging.LogRecord:
    return logging.makeLogRecord({"name": "engine", "levelname": "WARNING", "msg": message, "created": 1795336885.5, **fields})


class _Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(json.loads(JsonFormatter("test").format(record)))


@pytest.fixture
def kept() -> _Kept:
    return _Kept()


@pytest.fixture
def log(kept: _Kept, request: pytest.FixtureRequest) -> logging.Logger:
    log = logging.Logger(request.node.name)
    log.addHandler(kept)
    return log


def test_a_json_line_holds_what_applies_and_nothing_else() -> None:
    line = json.loads(JsonFormatter("engine").format(_record("frame rejected", source="scope", seq=4, generation=2, session=None, colour="red")))

    assert line == {
        "time": "2026-11-22T08:41:25.500Z",
        "level": "warning",
        "process": "engine",
        "logger": "engine",
        "message": "frame rejected",
        "source": "scope",
        "seq": 4,
        "generation": 2,
    }


@pytest.mark.parametrize("formatter", [JsonFormatter("engine"), TextFormatter("engine")])
def test_what_a_sender_writes_into_a_frame_can_not_make_a_line_of_its_own(formatter: logging.Formatter) -> None:
    assert len(formatter.format(_record("no channel 'a\nb\x85c'", source="x\n2026-11-22 CRITICAL\u2028all is lost\x1b[2J")).splitlines()) == 1


def test_a_traceback_stays_with_its_line() -> None:
    try:
        raise RuntimeError("the bug")
    except RuntimeError:
        record = _record("failed", exc_info=sys.exc_info())

    assert "RuntimeError: the bug" in json.loads(JsonFormatter("engine").format(record))["exception"]
    assert "RuntimeError: the bug" in TextFormatter("engine").format(record)


def test_what_happens_often_is_said_once_an_interval_with_its_count_and_the_last_is_never_missing(kept: _Kept, log: logging.Logger) -> None:
    often = Throttle(log, interval_s=0.2)
    for seq in range(50):
        often.say(logging.WARNING, "gap", "lost", 2, seq=seq)
    often.say(logging.WARNING, "late", "late")
    deadline = time.monotonic() + 10
    while len(kept.lines) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)

    assert [(one["message"], one.get("seq"), one["count"]) for one in kept.lines] == [("lost", 0, 2), ("late", None, 1), ("lost", 49, 98)]


def test_what_waits_is_said_with_the_next_of_its_kind(kept: _Kept, log: logging.Logger) -> None:
    now = [0.0]
    often = Throttle(log, interval_s=1000.0, clock=lambda: now[0])
    for now[0] in (0.0, 1.0, 2.0, 1500.0):
        often.say(logging.WARNING, "gap", "lost")

    assert [one["count"] for one in kept.lines] == [1, 3]


def test_every_logger_of_a_process_writes_the_same_lines_and_all_are_out_when_it_ends() -> None:
    program = (
        "import logging, warnings; from atomstream_service.logs import set_up_logs; set_up_logs('json', 'info', 'engine');"
        "logging.getLogger('uvicorn.error').info('one'); warnings.warn('two'); logging.getLogger('x').debug('three');"
        "[logging.getLogger('y').info('many %d', k) for k in range(500)]"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in io.StringIO(done.stderr)]

    assert [one["message"] for one in lines[:1]] == ["one"]
    assert "two" in lines[1]["message"]
    assert [one["message"] for one in lines[2:]] == [f"many {k}" for k in range(500)]


def test_what_another_process_said_is_written_under_its_name_each_on_one_line() -> None:
    program = "import logging; from atomstream_service.logs import set_up_logs; set_up_logs('json', 'info', 'stager');"
    program += "print('a library speaks', flush=True); log = logging.getLogger('x')\ntry:\n 1 / 0\nexcept Exception: log.exception('odd')"
    said = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True).stdout
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(TextFormatter("control"))
    log = logging.getLogger("relayed")
    log.addHandler(handler)
    relay(log, "stager", read_said(said + '{"level": "no such", "message": 3}\n'))
    log.removeHandler(handler)
    lines = written.getvalue().splitlines()

    assert [line.split()[1:3] for line in lines] == [["WARNING", "stager"], ["ERROR", "stager"], ["WARNING", "stager"]]
    assert lines[0].endswith("a library speaks")
    assert "odd" in lines[1]
    assert "ZeroDivisionError" in lines[1]
