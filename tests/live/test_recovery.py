from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import dots, make_plain_bundle
from streaming import streaming

from atomstream_client import Atoms, Failure, FramePublisher, ResultSubscriber
from atomstream_service.control._supervisor import Supervisor
from atomstream_service.demo import Launched, LaunchFailed, launched
from atomstream_service.orders import EngineSpec
from atomstream_service.transport import EngineSilent, EngineUnavailable


def _six_members(folder: Path) -> str:
    """A tiny ensemble with a member m05."""
    return str(make_plain_bundle(folder / "six", biases=(-1.0, -1.1, -1.2, -1.3, -1.4, -1.5)).folder)


def test_a_killed_engine_comes_back_with_the_same_members_while_the_control_plane_answers(tmp_path: Path) -> None:
    with launched(tmp_path / "state", bundle=_six_members(tmp_path), environment={**os.environ, "ATOMSTREAM_RUNTIME": "auto"}) as service:
        control = service.control("test")
        generation = control.choose_members(["m01", "m04", "m05"], "the clear ones")
        choice = control.status()["engine"]["choice"]
        with streaming(service.frames, service.results, shape=(128, 128), patience_s=1.0) as stream:
            stream.wait_for(3)
            pid = control.status()["engine"]["pid"]
            os.kill(pid, signal.SIGKILL)
            states = set()
            deadline = time.monotonic() + 60
            while (status := control.status())["engine"]["pid"] in (pid, None) or status["engine"]["state"] != "ready":
                states.add(status["engine"]["state"])
                assert time.monotonic() < deadline
                time.sleep(0.02)
            seen = len(stream.answers)
            stream.wait_for(seen + 3)

        assert "restarting" in states or "starting" in states
        assert status["engine"]["restarts"] == 1
        assert status["engine"]["last_restart_s"] > 0
        assert control.status()["engine"]["choice"] == choice, "what was measured before holds for the next engine"
        assert {answer.report.members_used for answer in stream.answers} == {("m01", "m04", "m05")}
        assert stream.answers[-1].report.ensemble.generation == generation


def test_a_change_while_the_engine_is_away_holds_once_it_is_back(tmp_path: Path) -> None:
    with launched(tmp_path / "state", bundle=_six_members(tmp_path)) as service:
        control = service.control("test")
        os.kill(control.status()["engine"]["pid"], signal.SIGKILL)
        time.sleep(0.05)
        generation = control.set_member("m00", "disabled", "while it was away")
        assert control.wait_ready(60)
        with streaming(service.frames, service.results, shape=(128, 128)) as stream:
            stream.wait_for(2)

        assert "m00" not in stream.answers[-1].report.members_used
        assert stream.answers[-1].report.ensemble.generation == generation


def test_a_restart_of_the_whole_service_forgets_nothing(tmp_path: Path) -> None:
    bundle = _six_members(tmp_path)
    with launched(tmp_path / "state", bundle=bundle) as service:
        generation = service.control("kim").choose_members(["m02", "m03"], "looked at all")
        service.process.kill()
        service.process.wait()
    with launched(tmp_path / "state", bundle=bundle) as service:
        listed = service.control().members()

        assert listed["generation"] == generation
        assert [one["id"] for one in listed["members"] if one["state"] == "enabled"] == ["m02", "m03"]
        assert service.control().status()["ensemble"]["selected"]
        assert service.control().journal()[-1]["actor"] == "kim"


FINE = dots((64, 64), [(20, 30)])
POISON = FINE - 100 * dots((64, 64), [(50, 50)])
"""A frame that a fragile member fails on."""


@contextlib.contextmanager
def _fragile_service(tmp_path: Path, biases: tuple[float, ...], fragile: int) -> Iterator[tuple[Launched, FramePublisher, ResultSubscriber]]:
    bundle = make_plain_bundle(tmp_path / "b", biases=biases, fragile=fragile)
    with (
        launched(tmp_path / "state", bundle=str(bundle.folder)) as service,
        FramePublisher("test/x", service.frames) as publisher,
        ResultSubscriber(service.results, kinds=("atoms", "error")) as subscriber,
    ):
        assert publisher.wait_for_reader()
        time.sleep(0.2)
        yield service, publisher, subscriber


def test_a_member_that_fails_is_taken_out_and_said_to_have_failed(tmp_path: Path) -> None:
    with _fragile_service(tmp_path, (-1.0, 20.0, -1.1), fragile=1) as (service, publisher, subscriber):
        publisher.publish(POISON)
        first = subscriber.receive(30)
        deadline = time.monotonic() + 20
        while (member := service.control().members()["members"][1])["state"] != "failed":
            assert time.monotonic() < deadline
            time.sleep(0.05)

        assert isinstance(first, Atoms)
        assert first.report.members_used == ("m00", "m02")
        assert "degraded" in first.report.flags
        assert member["id"] == "m01"
        assert service.control().journal()[-1]["actor"] == "engine"


def test_a_frame_that_no_member_can_run_is_refused_and_blames_nobody(tmp_path: Path) -> None:
    with _fragile_service(tmp_path, (20.0,), fragile=0) as (service, publisher, subscriber):
        for _ in range(3):
            publisher.publish(POISON)
            failure = subscriber.receive(30)
            assert isinstance(failure, Failure)
            assert failure.code == "no_member"
        publisher.publish(FINE)

        assert isinstance(subscriber.receive(30), Atoms)
        assert service.control().members()["members"][0]["state"] == "enabled"
        assert service.control().status()["engine"]["restarts"] == 0


def test_a_bundle_that_can_not_be_accepted_ends_the_service_with_its_reason(tmp_path: Path) -> None:
    bundle = make_plain_bundle(tmp_path / "b", biases=(-1.0, float("nan")))

    with pytest.raises(LaunchFailed, match="exit code 1"), launched(tmp_path / "state", bundle=str(bundle.folder)):
        pass


def test_nobody_waits_for_the_answer_of_an_engine_that_has_not_been_started() -> None:
    def full(endpoint: str) -> EngineSpec:
        raise OSError(f"no room left for what {endpoint} starts with")

    limits = {"watchdog_s": 1.0, "stall_s": 1.0, "start_s": 1.0}
    supervisor = Supervisor(full, **limits, on_ready=lambda status: None, on_status=lambda status: None, on_hopeless=lambda: True)
    supervisor.start()
    with pytest.raises(EngineUnavailable) as refusal:
        supervisor.commands.call("status", timeout_s=60)
    supervisor.stop()

    assert not isinstance(refusal.value, EngineSilent)
