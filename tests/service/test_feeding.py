"""Which recordings an engine is asked to feed: real recorders and a real journal; the engine's answers are the test's."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from waiting import until

from atomstream_models.recording import open_recording
from atomstream_service.control import _recording
from atomstream_service.control._recording import Recording
from atomstream_service.control._refusal import RequestRefused
from atomstream_service.control._store import Entry, Store
from atomstream_service.record import Limits, RecordingFailed, RecordingRequest, Recordings
from atomstream_service.transport import CommandRefused, EngineUnavailable, Reply


class _Engine:
    """Answers every command; `fails` says with what error those to record a name are answered.

    told : operation and name, in order; `ring` for one to record frames of the ring alone
    endpoints : of every recorder that was named, in the same order
    """

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.endpoints: list[str] = []
        self.fails: dict[str, Exception] = {}
        self.before_answering: Callable[[str], None] = lambda operation: None

    def call(self, operation: str, arguments: Mapping[str, Any], buffers: tuple[Any, ...] = (), *, timeout_s: float = 10.0) -> Reply:
        name = str(arguments.get("name", ""))
        if not arguments.get("live", True):
            operation = "ring"
        self.told.append((operation, name))
        self.endpoints.append(str(arguments["endpoint"]))
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
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "state")
    yield made
    made.close()


@pytest.fixture
def recording(engine: _Engine, store: Store, tmp_path: Path) -> Iterator[Recording]:
    made = Recording(Recordings(tmp_path / "recordings"), store, engine.call)
    yield made
    made.close()


def _start(recording: Recording, *names: str) -> None:
    for name in names:
        recording.start(name, RecordingRequest(), None, live=True, generation=1)


def test_one_recorder_that_the_new_engine_does_not_take_keeps_no_other_from_its_frames_and_is_tried_again(
    recording: Recording, engine: _Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_recording, "_AGAIN_S", 0.0)
    _start(recording, "bad", "good")
    engine.told.clear()
    engine.fails = {"bad": CommandRefused("no_recorder", "nobody answers")}
    recording.resume()
    until(engine.fed, lambda fed: fed == ["bad", "good"])
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
        if operation == "ring":
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
    assert len(set(engine.endpoints)) == 1


def test_of_what_is_journalled_while_a_recording_begins_and_ends_no_line_is_missing_doubled_or_out_of_order(recording: Recording, store: Store) -> None:
    over = threading.Event()

    def act(actor: str) -> None:
        while not over.is_set():
            store.record(Entry(actor, "set_members", "m00", "", None, None, 1), {})

    acting = [threading.Thread(target=act, args=(actor,)) for actor in ("kim", "noor", "program", "policy")]
    for one in acting:
        one.start()
    try:
        _start(recording, "busy")
        info = recording.stop("busy", "kim", "", 1)
    finally:
        over.set()
        for one in acting:
            one.join()
    with open_recording(info.path) as recorded:
        ids = [line["id"] for line in recorded.journal]
        actions = {line["action"] for line in recorded.journal}

    assert len(ids) > 10
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    assert {"record", "end_recording"} <= actions


def test_a_recording_that_reaches_its_limit_before_all_was_handed_over_is_kept(
    recording: Recording, engine: _Engine, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def full(operation: str) -> None:
        if operation == "record":
            until(recording.list, lambda listed: listed[0].ended_because == "max_seconds")
            raise CommandRefused("no_recorder", "the recorder does not take the frames")

    engine.before_answering = full
    kept = recording.start("short", RecordingRequest(limits=Limits(max_seconds=0.2)), {"last": 3}, live=True, generation=1)

    assert (kept.state, kept.ended_because) == ("finished", "max_seconds")
    assert kept.path.is_file()
    recording.close()
    assert capfd.readouterr().err == ""


def test_a_recording_that_is_over_before_it_has_begun_is_kept_and_holds_up_nobody_who_journals(
    recording: Recording, engine: _Engine, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def over(running: _recording._Running) -> None:
        until(lambda: running.handle.running, lambda alive: not alive)
        store.record(Entry("kim", "set_members", "m00", "", None, None, 1), {})
        wait(running)

    wait = _recording._wait_for
    monkeypatch.setattr(_recording, "_wait_for", over)
    kept = recording.start("short", RecordingRequest(limits=Limits(max_seconds=0.01)), None, live=True, generation=1)

    assert (kept.state, kept.ended_because) == ("finished", "max_seconds")
    assert engine.told == []


def test_a_recorder_that_dies_before_it_has_begun_leaves_nothing_behind(recording: Recording, engine: _Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(running: _recording._Running) -> None:
        os.kill(running.handle.pid, signal.SIGKILL)
        until(lambda: running.handle.running, lambda alive: not alive)
        running.journal.journal({"generation": 1})
        wait(running)

    wait = _recording._wait_for
    monkeypatch.setattr(_recording, "_wait_for", killed)
    with pytest.raises(RecordingFailed, match="has ended before anything could be recorded"):
        recording.start("killed", RecordingRequest(), None, live=True, generation=1)

    assert recording.list() == []
    assert engine.told == []


def test_a_limit_that_an_empty_file_is_beyond_is_refused(recording: Recording, store: Store) -> None:
    store.record(Entry("control", "use_ensemble", "plain 1", "", None, None, 1), {})
    with pytest.raises(RequestRefused, match="max_bytes is 1:") as refusal:
        recording.start("tiny", RecordingRequest(limits=Limits(max_bytes=1)), None, live=True, generation=1)
    least = recording.start("least", RecordingRequest(limits=Limits(max_bytes=128 << 10)), None, live=True, generation=1)
    empty = recording.stop("least", "kim", "", 1)

    assert refusal.value.status == 422
    assert least.state == "recording"
    assert empty.bytes < 128 << 10
