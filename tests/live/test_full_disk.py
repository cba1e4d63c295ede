from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from conftest import make_plain_bundle
from streaming import streaming
from waiting import until

from atomstream_models.bundle import pack
from atomstream_models.recording import open_recording
from atomstream_service.demo import Launched, launched

if sys.platform == "linux":
    import resource

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the limit that stands for a full disk can be set from outside on Linux alone")

_ROOM = 16 << 10
"""Bytes: the file that an engine is started with stays below, the journal does not."""


@dataclass(frozen=True)
class Filling:
    """A service whose control plane can be made to find its disk full: its journal, beyond the limit set here, can't be written to."""

    service: Launched
    state: Path

    def fill(self) -> None:
        until(lambda: (self.state / "atomstream.sqlite-wal").stat().st_size, lambda size: size > _ROOM)
        resource.prlimit(self.service.process.pid, resource.RLIMIT_FSIZE, (_ROOM, resource.RLIM_INFINITY))

    def free(self) -> None:
        resource.prlimit(self.service.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    def get(self, path: str) -> dict[str, object]:
        return dict(httpx.get(f"{self.service.url}{path}", timeout=30).raise_for_status().json())

    def change(self, method: str, path: str, **body: object) -> httpx.Response:
        return httpx.request(method, f"{self.service.url}{path}", json=body, timeout=30)


@pytest.fixture
def filling(tmp_path: Path) -> Iterator[Filling]:
    plain = make_plain_bundle(tmp_path / "plain")
    # Its log goes nowhere, since the limit is one of files, and a test's output is one.
    with open(os.devnull, "wb") as log, launched(tmp_path / "state", bundle=str(plain.folder), config="warm_shapes = [[64, 64]]\n", stderr=log) as service:
        yield Filling(service, tmp_path / "state")


def test_a_change_that_can_not_be_journalled_is_refused_with_the_reason_and_holds_nowhere(filling: Filling) -> None:
    before = filling.get("/v1/members"), filling.get("/v1/drift")["policy"]

    filling.fill()
    member = filling.change("PATCH", "/v1/members/m00", state="disabled")
    policy = filling.change("PUT", "/v1/drift/policy", mode="quarantine")

    for refused in (member, policy):
        assert (refused.status_code, refused.json()["code"]) == (507, "not_journalled")
        assert f"the journal in {filling.state} can't be written" in refused.json()["detail"]
    states = [[(one["id"], one["state"]) for one in members["members"]] for members in (before[0], filling.get("/v1/members"))]  # type: ignore[attr-defined]
    assert states[0] == states[1]
    assert filling.get("/v1/drift")["policy"] == before[1]
    filling.free()
    assert filling.change("PATCH", "/v1/members/m00", state="disabled").status_code == 200


def test_recordings_can_be_stopped_and_are_closed_at_the_end_where_the_disk_is_full(filling: Filling) -> None:
    for name in ("stopped", "running"):
        assert filling.change("POST", "/v1/recordings", name=name).status_code == 201
    with streaming(filling.service.frames, filling.service.results, shape=(64, 64)) as stream:
        stream.wait_for(3)
    until(lambda: [filling.get(f"/v1/recordings/{name}")["frames"] for name in ("stopped", "running")], lambda frames: min(frames) > 0)

    filling.fill()
    stopped = filling.change("POST", "/v1/recordings/stopped/stop")
    filling.service.process.terminate()

    assert (stopped.status_code, stopped.json()["state"]) == (200, "finished")
    assert filling.service.process.wait(30) == 0
    with open_recording(filling.state / "recordings" / "running.h5") as recording:
        assert recording.ended_because == "stopped"


def test_an_engine_that_ends_in_a_trial_comes_back_also_where_the_disk_is_full(filling: Filling, tmp_path: Path) -> None:
    pack(make_plain_bundle(tmp_path / "other", name="other").folder, tmp_path / "other.atomstream")
    control = filling.service.control()
    control.ensembles.upload(tmp_path / "other.atomstream")
    control.ensembles.activate("other", "1")
    engine = control.status()["engine"]["pid"]

    filling.fill()
    os.kill(engine, signal.SIGKILL)

    again = until(lambda: control.status()["engine"], lambda seen: seen["pid"] not in (engine, None) and seen["state"] == "ready")
    assert again["restarts"] == 1
    assert control.status()["ensemble"]["name"] == "other"
