"""What the control plane makes of refinements: real stores, recorders, registry; the engine's answers are the test's."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from conftest import make_plain_bundle
from waiting import until

from atomstream_models.bundle import Bundle
from atomstream_service.config import Config
from atomstream_service.control._app import create_app
from atomstream_service.control._ensembles import reference
from atomstream_service.control._refinement import Source
from atomstream_service.control._refusal import RequestRefused
from atomstream_service.control._serve import server_settings
from atomstream_service.control._service import Service
from atomstream_service.control._store import Entry
from atomstream_service.control._wish import with_ensemble
from atomstream_service.members import MemberState
from atomstream_service.record import RecordingRefused, RecordingRequest
from atomstream_service.refinements import (
    FramesFile,
    RefinementBusy,
    RefinementJob,
    RefinementParameters,
    RefinementRefused,
    RefinementRequest,
    RefinementState,
)
from atomstream_service.refinements._store import JobFolder
from atomstream_service.transport import EngineUnavailable, Reply


@pytest.fixture
def live(tmp_path: Path) -> Bundle:
    return make_plain_bundle(tmp_path / "live", name="live")


@pytest.fixture
def make(live: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Service]]:
    """Makes a service whose engine has three frames in its ring and can load nothing."""

    def call(self: Service, operation: str, arguments: Mapping[str, Any], buffers: tuple[Any, ...] = (), *, timeout_s: float = 10.0) -> Reply:
        if operation == "stage":
            raise EngineUnavailable("the engine is starting")
        return Reply({"frames": 3})

    monkeypatch.setattr(Service, "call", call)
    made: list[Service] = []

    def end() -> None:
        while made:
            one = made.pop()
            one.refinement.close()
            one.recording.close()
            one.store.close()
            one.supervisor._folder.cleanup()  # the engine's, which was never started

    def service() -> Service:
        end()
        made.append(Service(Config(state=tmp_path / "state"), live, lambda: None))
        return made[-1]

    yield service
    end()


def _start(service: Service, source: Source | None = None, **given: Any) -> RefinementJob:
    wanted: dict[str, Any] = {
        "then": "register",
        "members": None,
        "regions": (),
        "leave_out": (),
        "parameters": RefinementParameters(),
        "name": None,
        "version": None,
    }
    return service.refinement.start(source or Source(), "kim", "", **{**wanted, **given})


def _done(state: Path, live: Bundle, name: str) -> RefinementJob:
    """A refinement that an earlier service saw the end of."""
    bundle = make_plain_bundle(state.parent / name, name=name, biases=(-1.0, -2.0))
    request = RefinementRequest(frames=FramesFile(path=state / "frames.h5"))
    job = RefinementJob("20260101T000000-abcdef", RefinementState.DONE, request, live.folder, "kim", time.time(), bundle=bundle.folder)
    JobFolder(state / "refinements" / job.id).create(job)
    return job


@pytest.mark.parametrize("seen_first", [True, False])
def test_a_refinement_that_there_is_no_room_for_leaves_no_recording(
    make: Callable[[], Service], seen_first: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = make()
    monkeypatch.setattr(service.refinement.jobs, "_most_kept", 0)
    if not seen_first:  # another one has taken the room meanwhile
        monkeypatch.setattr(service.refinement.jobs, "check", lambda: None)

    before = service.store.journal()
    with pytest.raises(RefinementBusy):
        _start(service)
    assert list((tmp_path / "state" / "recordings").glob("*.h5")) == []
    journal = [line["action"] for line in service.store.journal()[len(before) :]]
    assert journal == ([] if seen_first else ["record", "delete_recording"])


def test_without_an_enabled_member_there_are_no_labels(make: Callable[[], Service], tmp_path: Path) -> None:
    service = make()
    service.members.mark_failed(dict.fromkeys(service.wish.states, "broken"), service.wish.generation)
    assert MemberState.ENABLED not in service.wish.states.values()

    with pytest.raises(RequestRefused) as refusal:
        _start(service)
    assert (refusal.value.status, refusal.value.code) == (409, "no_member")
    assert list((tmp_path / "state" / "recordings").glob("*.h5")) == []


def test_versions_stay_short_however_many_generations_there_are(make: Callable[[], Service]) -> None:
    version = make().refinement._free_version
    assert version("live", "1") == "1.1"
    assert version("live", "1" * 62) == "1" * 62 + ".1"
    long = version("live", "1" * 63)
    assert len(long) <= 64
    assert long != version("live", "1" * 63)


def test_what_becomes_of_a_refinement_is_noted_with_its_line_in_the_journal_and_forgotten_with_it(
    make: Callable[[], Service], live: Bundle, tmp_path: Path
) -> None:
    job = _done(tmp_path / "state", live, "new")
    service = make()
    service.store.save({"refinements": {job.id: {"then": "shadow"}}})
    service = make()
    service.refinement.take_up()
    kept = until(lambda: service.store.read("refinements")[job.id], lambda seen: "not_shadowed" in seen)
    result = service.refinement.as_json(job)

    assert (result["ensemble"]["name"], result["not_shadowed"]) == ("new", "the engine is starting")
    assert [line["target"] for line in service.store.journal() if line["action"] == "register"] == ["new 1"]
    assert kept == {name: result[name] for name in ("then", "ensemble", "not_shadowed")}

    # A service that ended before it could run the new ensemble says so, and registers it no second time.
    del kept["not_shadowed"]
    service.store.save({"refinements": {job.id: kept}})
    service = make()
    service.refinement.take_up()
    assert service.refinement.as_json(job)["not_shadowed"] == "the service ended before it could be"

    assert service.refinement.end(job.id, "kim", "") == "deleted"
    assert service.store.read("refinements") == {}
    service.refinement._note(job.id, {"refused": "it was deleted while it was being registered"})
    assert service.store.read("refinements") == {}


def test_a_bundle_that_can_not_be_registered_is_refused_whatever_the_reason(make: Callable[[], Service], live: Bundle, tmp_path: Path) -> None:
    job = _done(tmp_path / "state", live, "new")
    assert job.bundle is not None
    shutil.rmtree(job.bundle)
    service = make()
    service.refinement.take_up()
    kept = until(lambda: service.store.read("refinements", {}).get(job.id, {}), lambda seen: "refused" in seen)

    assert kept["refused"]
    assert service.refinement.as_json(job)["refused"] == kept["refused"]
    assert "ensemble" not in kept


def test_many_who_follow_a_refinement_keep_nobody_else_from_an_answer(make: Callable[[], Service], monkeypatch: pytest.MonkeyPatch) -> None:
    service = make()
    over = threading.Event()
    monkeypatch.setattr(service.refinement.jobs, "get", lambda name: None)
    monkeypatch.setattr(service.refinement.jobs, "told", lambda name, after: ([], over.is_set()))
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = uvicorn.Server(server_settings(create_app(service), service.config))
    serving = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    serving.start()
    begun, ended = threading.Semaphore(0), threading.Semaphore(0)

    def follow() -> None:
        with httpx.stream("GET", f"{url}/v1/refinements/x/events", timeout=60) as response:
            begun.release()
            assert response.read() == b""
        ended.release()

    for _ in range(60):
        threading.Thread(target=follow, daemon=True).start()
    assert all(begun.acquire(timeout=60) for _ in range(60))
    answer = httpx.get(f"{url}/v1/journal", timeout=60)
    over.set()
    assert all(ended.acquire(timeout=60) for _ in range(60))
    server.should_exit = True
    serving.join(60)

    assert answer.status_code == 200


def test_what_a_refinement_needs_stays_until_it_is_over(make: Callable[[], Service], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = make()
    refinement = service.refinement
    over = threading.Event()
    monkeypatch.setattr(refinement.jobs, "_run", lambda record: (RefinementState.FAILED, str(over.wait(60)), None))
    refused: list[RequestRefused] = []

    def remove() -> None:
        with pytest.raises(RequestRefused) as refusal:
            service.remove_ensemble("live", "1", "kim", "")
        refused.append(refusal.value)

    def swapped_meanwhile(*given: Any) -> AbstractContextManager[Path]:
        newer = make_plain_bundle(tmp_path / "newer", name="newer")
        service.registry.adopt(newer, "configured", "control")
        after = with_ensemble(service.wish, reference(newer), newer.card.member_ids, on_trial=False)
        service.keeper.remember(after, Entry("kim", "activate", "newer 1", "", None, None, after.generation))
        remove()
        return frames(*given)

    frames = refinement._frames
    monkeypatch.setattr(refinement, "_frames", swapped_meanwhile)
    job = _start(service)
    recording = job.request.frames.path
    remove()
    with pytest.raises(RequestRefused, match=job.id), refinement.unneeded(recording, recording.stem):
        pass
    over.set()
    until(lambda: refinement.jobs.get(job.id).state, lambda state: state is RefinementState.FAILED)
    service.remove_ensemble("live", "1", "kim", "")

    assert [(one.status, one.code) for one in refused] == [(409, "in_use")] * 2
    assert "about to begin" in str(refused[0])
    assert job.id in str(refused[1])
    with pytest.raises(RefinementRefused, match="is gone"):
        refinement.resume(job.id, "kim", "")


def test_frames_that_a_refinement_is_about_to_learn_from_stay_and_those_that_are_being_deleted_hold_up_nobody(
    make: Callable[[], Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = make()
    refinement = service.refinement
    kept, _ = (service.recording.start(name, RecordingRequest(), {}, live=False, generation=1) for name in ("night", "other"))

    def start(request: RefinementRequest, *given: Any) -> RefinementJob:
        with pytest.raises(RequestRefused, match="about to begin"), refinement.unneeded(request.frames.path, "the recording"):
            pass
        raise RefinementRefused("there is no frame in it")

    monkeypatch.setattr(refinement.jobs, "start", start)
    with pytest.raises(RefinementRefused, match="no frame"):
        _start(service, Source("night"))
    with refinement.unneeded(kept.path, kept.name):
        with pytest.raises(RequestRefused, match="just being removed") as refusal:
            _start(service, Source("night"))
        with pytest.raises(RefinementRefused, match="no frame"):
            _start(service, Source("other"))
        service.recording.delete("night", "kim", "", 1)
    with pytest.raises(RecordingRefused, match="no recording night"):
        _start(service, Source("night"))

    assert refusal.value.status == 409
