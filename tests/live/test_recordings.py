from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import httpx
import numpy as np
import pytest
from conftest import dots, make_plain_bundle
from streaming import streaming
from waiting import until

from atomstream_client import Atoms, FramePublisher, ResultSubscriber
from atomstream_models.recording import open_recording
from atomstream_service.demo import Launched, launched

CENTRES = [(20.0, 20.0), (20.0, 44.0), (44.0, 20.0)]


@pytest.fixture(scope="module")
def plain_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    folder = tmp_path_factory.mktemp("plain")
    bundle = make_plain_bundle(folder / "plain")
    with launched(folder / "state", bundle=str(bundle.folder), config="warm_shapes = [[64, 64]]\nring_frames = 8\n") as service:
        yield service


@pytest.fixture
def http(plain_service: Launched) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=plain_service.url, timeout=60, headers={"X-Atomstream-Actor": "kim"}) as client:
        yield client


@pytest.fixture
def send(plain_service: Launched) -> Iterator[Callable[[int], list[Atoms]]]:
    with FramePublisher("test/scope", plain_service.frames) as publisher, ResultSubscriber(plain_service.results, kinds=("atoms",)) as results:
        assert publisher.wait_for_reader()
        time.sleep(0.2)

        def sent(count: int) -> list[Atoms]:
            answers = []
            for k in range(count):
                publisher.publish(dots((64, 64), CENTRES) + k, frame=k, pixel_size=(0.01, 0.01), user={"k": k})
                answer = results.receive(20)
                assert isinstance(answer, Atoms)
                answers.append(answer)
            return answers

        yield sent


def test_what_was_just_seen_and_what_comes_are_recorded_with_their_results_and_the_journal(
    plain_service: Launched, http: httpx.Client, send: Callable[[int], list[Atoms]], tmp_path: Path
) -> None:
    before = send(3)
    until(lambda: http.get("/v1/ring").json()["count"], lambda count: count >= 3)
    begun = http.post("/v1/recordings", json={"name": "night-1", "ring": {"last": 2}, "reason": "before the tip goes"})
    assert begun.status_code == 201, begun.text
    http.patch("/v1/members/m01", json={"state": "disabled", "reason": "fog"})
    after = send(4)
    http.patch("/v1/members/m01", json={"state": "enabled"})
    until(lambda: http.get("/v1/recordings/night-1").json()["frames"], lambda frames: frames >= 6)
    stopped = http.post("/v1/recordings/night-1/stop").json()
    plain_service.control().recordings.download("night-1", tmp_path / "night.h5")
    with open_recording(tmp_path / "night.h5") as recording:
        frames = list(recording)
        journal = recording.journal

    assert begun.json()["state"] == "recording"
    assert (stopped["state"], stopped["frames"], stopped["dropped"]) == ("finished", 6, 0)
    expected = [*before[1:], *after]
    assert [one.report.seq for one in frames] == [one.report.seq for one in expected]
    assert [one.report.ensemble.generation for one in frames] == [one.report.ensemble.generation for one in expected]
    assert [one.report.members_used for one in frames[2:]] == [("m00",)] * 4
    for one, answer in zip(frames, expected, strict=True):
        np.testing.assert_array_equal(one.atoms, answer.atoms)
        np.testing.assert_array_equal(one.image, dots((64, 64), CENTRES) + one.frame.user["k"])
    assert frames[0].drift is not None
    assert [line["reason"] for line in journal if line["action"] == "set_members"][:1] == ["fog"]


def test_a_selection_of_the_ring_alone_is_a_finished_recording_at_once(http: httpx.Client, send: Callable[[int], list[Atoms]]) -> None:
    answers = send(10)
    held = until(lambda: http.get("/v1/ring").json(), lambda one: one["seqs"][-1][1] == answers[-1].report.seq)
    wanted = [[one.report.session, one.report.seq] for one in answers[-3:-1]]
    kept = http.post("/v1/recordings", json={"name": "two", "ring": {"frames": wanted}, "live": False}).json()
    listed = {one["name"]: one["state"] for one in http.get("/v1/recordings").json()["recordings"]}
    deleted = http.delete("/v1/recordings/two")
    again = http.delete("/v1/recordings/two")

    assert held["count"] == 8
    assert (kept["state"], kept["frames"]) == ("finished", 2)
    assert listed["two"] == "finished"
    assert (deleted.json()["state"], again.status_code) == ("deleted", 404)


def test_a_recording_for_programs_without_lzf_is_compressed_as_asked(plain_service: Launched, send: Callable[[int], list[Atoms]]) -> None:
    send(2)
    recordings = plain_service.control().recordings
    until(recordings.ring, lambda one: one["count"] >= 2)
    kept = recordings.start("elsewhere", ring={"last": 1}, live=False, compression="gzip")
    with h5py.File(kept["path"]) as file:
        found = file["entry/images_000/data"].compression

    assert found == "gzip"


def test_a_recording_goes_on_with_the_engine_that_comes_after_a_killed_one(http: httpx.Client, send: Callable[[int], list[Atoms]]) -> None:
    http.post("/v1/recordings", json={"name": "through"})
    send(2)
    engine = http.get("/v1/status").json()["engine"]
    os.kill(engine["pid"], signal.SIGKILL)
    until(lambda: http.get("/v1/status").json()["engine"], lambda one: one["restarts"] == engine["restarts"] + 1 and one["state"] == "ready")
    time.sleep(0.5)  # the publisher has to find the new engine
    send(2)
    seen = until(lambda: http.get("/v1/recordings/through").json(), lambda one: one["frames"] >= 4)
    stopped = http.post("/v1/recordings/through/stop").json()

    assert seen["state"] == "recording"
    assert (stopped["state"], stopped["frames"]) == ("finished", 4)


def test_between_the_ring_and_what_comes_no_frame_of_a_fast_stream_is_missing_or_double(plain_service: Launched, http: httpx.Client) -> None:
    with streaming(plain_service.frames, plain_service.results, shape=(64, 64)) as stream:
        stream.wait_for(8)
        for name in ("fast-1", "fast-2", "fast-3"):
            begun = http.post("/v1/recordings", json={"name": name, "ring": {"last": 6}})
            assert begun.status_code == 201, begun.text
            stream.wait_for(len(stream.answers) + 20)
            http.post(f"/v1/recordings/{name}/stop")
    for name in ("fast-1", "fast-2", "fast-3"):
        info = http.get(f"/v1/recordings/{name}").json()
        with open_recording(Path(info["path"])) as recording:
            seqs = [one.report.seq for one in recording]

        assert info["dropped"] == 0
        assert len(seqs) >= 26
        assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))


def test_recordings_that_can_not_be_are_refused_by_name(http: httpx.Client) -> None:
    http.post("/v1/recordings", json={"name": "taken"})
    asked: list[tuple[str, dict[str, Any]]] = [
        ("../x", {}),
        ("taken", {}),
        ("nothing", {"live": False}),
        ("x", {"ring": {"last": 0}}),
        ("tiny", {"limits": {"max_bytes": 1}}),
    ]
    answers = [http.post("/v1/recordings", json={"name": name, **more}) for name, more in asked]
    unknown = http.post("/v1/recordings/nobody/stop")
    none_left = http.post("/v1/recordings", json={"name": "none", "live": False, "ring": {"source": "somebody/else"}})
    http.post("/v1/recordings/taken/stop")

    assert [answer.status_code for answer in (*answers, unknown, none_left)] == [422, 409, 422, 422, 422, 404, 409]
    assert "none" not in [one["name"] for one in http.get("/v1/recordings").json()["recordings"]]
    assert "taken" in answers[1].json()["detail"]
