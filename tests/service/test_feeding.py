"""Which recordings an engine is asked to feed: real recorders and a real journal; the engine's answers are the test's."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from waiting import until

from atomstream_service.control import _recording
from atomstream_service.control._recording import Recording
from atomstream_service.control._store import Store
from atomstream_service.record import RecordingRequest, Recordings
from atomstream_service.transport import CommandRefused, EngineUnavailable, Reply


class _Engine:
    """Answers every command; `fails` says with what error those to record a name are answered.

    told : operation and name, in order
    """

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.fails: dict[str, Exception] = {}
        self.before_answering: Callable[[str], None] = lambda operation: None

    def call(self, operation: str, arguments: Mapping[str, Any], buffers: tuple[Any, ...] = (), *, timeout_s: float = 10.0) -> Reply:
        name = str(arguments.get("name", ""))
        self.told.append((operation, name))
        self.before_answering(operation)
        if operation == "record" and name in self.fails:
            raise self.fails[name]
        return Reply({"frames": 3})

    def fed(self) -> list[str]:
        return sorted(name for operation, name in self.told if operation == "record")


@pytest.fixture
def engine() -> _Engine:
    return _Engine()


@pytest.fixture
def recording(engine: _Engine, tmp_path: Path) -> Iterator[Recording]:
    store = Store(tmp_path / "state")
    made = Recording(Recordings(tmp_path / "recordings"), store, engine.call)
    yield made
    made.close()
    store.close()


def _start(recording: Recording, *names: str) -> None:
    for name in names:
        recording.start(name, RecordingRequest(), None, live=True, generation=1)


def test_one_recorder_that_the_new_engine_does_not_take_keeps_no_other_from_its_frames_and_is_tried_again(
    recording: Recording, engine: _Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_recording, "_AGAIN_S", 0.0)
    _start(recording, "bad", "good", "known")
    engine.told.clear()
    engine.fails = {"bad": CommandRefused("no_recorder", "nobody answers"), "known": CommandRefused("recorded_already", "it is")}
    recording.resume()
    until(engine.fed, lambda fed: fed == ["bad", "good", "known"])
    until(lambda: [one.name for one in threading.enumerate() if one.name.startswith("feeding-")], lambda busy: not busy)
    engine.told.clear()
    engine.fails = {"bad": EngineUnavailable("it restarts")}
    recording.reap()
    until(engine.fed, lambda fed: fed == ["bad"])
    until(lambda: [one.name for one in threading.enumerate() if one.name.startswith("feeding-")], lambda busy: not busy)
    engine.fails = {}
    recording.reap()
    until(engine.fed, lambda fed: fed == ["bad", "bad"])
    until(lambda: [one.name for one in threading.enumerate() if one.name.startswith("feeding-")], lambda busy: not busy)
    recording.reap()

    assert engine.fed() == ["bad", "bad"]


def test_a_recording_of_the_ring_alone_is_never_fed_by_an_engine_that_comes_meanwhile(recording: Recording, engine: _Engine) -> None:
    def restarting(operation: str) -> None:
        if operation == "copy_ring":
            recording.resume()
            recording.reap()

    engine.before_answering = restarting
    recording.start("ring", RecordingRequest(), {"last": 3}, live=False, generation=1)

    assert engine.fed() == []


def test_a_recording_that_ends_while_the_engine_is_told_of_it_is_taken_back(recording: Recording, engine: _Engine) -> None:
    _start(recording, "short")
    engine.told.clear()

    def ending(operation: str) -> None:
        if operation == "record":
            recording.stop("short", "kim", "", 1)

    engine.before_answering = ending
    recording.resume()

    until(lambda: engine.told, lambda told: told == [("record", "short"), ("unrecord", "short"), ("unrecord", "short")])
