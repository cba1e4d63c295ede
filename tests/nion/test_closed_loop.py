"""The closed loop of the examples against Nion's simulated microscope, with drift, and everything that should end it."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from nion_python import NionPython, nion_python

from atomstream_service.access import Role, TokenFile
from atomstream_service.demo import Launched, launched

LOOP = ROOT / "examples" / "closed_loop_simulated.py"
CONFIG = """
warm_shapes = [[256, 256]]
[[frames]]
policy = "queue"
"""


@pytest.fixture(scope="module")
def nion(tmp_path_factory: pytest.TempPathFactory) -> NionPython:
    return nion_python(tmp_path_factory.mktemp("nion"))


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    with launched(tmp_path_factory.mktemp("service") / "state", config=CONFIG) as running:
        yield running


def _start(nion: NionPython, service: Launched, *more: str) -> subprocess.Popen[str]:
    return nion.start(LOOP, "--frames", service.frames, "--results", service.results, "--http", service.url, *more)


def _disturbed(nion: NionPython, service: Launched, disturb: Callable[[subprocess.Popen[str]], None]) -> dict[str, Any]:
    """What an endless loop says that is disturbed in its first visit."""
    process = _start(nion, service, "--visits", "100000", "--answer", "1")
    assert process.stdout is not None
    while not process.stdout.readline().startswith("visit 3"):
        assert process.poll() is None
    disturb(process)
    return nion.finish(process)


def test_the_beam_is_on_its_atom_in_50_visits_while_the_specimen_drifts(nion: NionPython, service: Launched) -> None:
    said = nion.finish(_start(nion, service, "--drift", "0.05"))
    errors = {name: np.array(values) for name, values in said["errors_nm"].items()}
    for name, values in errors.items():
        print(
            f"{name:13s} median {1000 * np.median(values):5.1f} pm, 95 % within {1000 * np.percentile(values, 95):5.1f} pm, all {1000 * values.max():5.1f} pm"
        )
    print(f"{said['frames']} frames, {said['seconds']:.1f} s")

    assert (said["ended"], said["at_rest"]) == ("", True)
    assert np.percentile(errors["corrected"], 95) < 0.05
    assert np.median(errors["first frame"]) > 5 * np.median(errors["corrected"])
    assert np.percentile(errors["first frame"], 95) > 5 * np.percentile(errors["corrected"], 95)
    assert np.median(errors["newest frame"]) > 2 * np.median(errors["corrected"])
    assert errors["expected"].max() <= 0.02
    assert said["frames"] < 25


def test_a_specimen_that_drifts_too_fast_is_left_alone(nion: NionPython, service: Launched) -> None:
    said = nion.finish(_start(nion, service, "--drift", "0.6"))

    # Where the machine is so slow that the specimen is out of reach before the next frame, that is said instead.
    assert said["ended"].startswith(("the specimen drifts at 0.", "after 8 more frames there is no impurity"))
    assert said["at_rest"]
    assert said["errors_nm"]["corrected"] == []


def test_ctrl_c_in_a_visit_takes_the_beam_away(nion: NionPython, service: Launched) -> None:
    said = _disturbed(nion, service, lambda process: process.send_signal(signal.SIGINT))

    assert (said["ended"], said["at_rest"]) == ("Ctrl+C", True)
    assert service.control().lease.holder() is None


def test_swifts_window_cancels_it_and_it_does_not_begin_while_a_scan_runs(nion: NionPython, service: Launched) -> None:
    said = nion.finish(nion.start(ROOT / "tests" / "nion" / "cancelled.py", service.frames, service.results, service.url))

    assert said["lines"] == ["stopped: the user stopped it", "stopped: a scan is running, and would take the beam along"]
    assert said["at_rest"]


def test_who_takes_the_lease_away_ends_the_loop(nion: NionPython, service: Launched) -> None:
    said = _disturbed(nion, service, lambda process: service.control("operator").lease.break_(reason="mine"))

    assert (said["ended"], said["at_rest"]) == ("the lease was taken away", True)


def test_another_program_that_has_the_lease_keeps_the_loop_from_beginning(nion: NionPython, service: Launched) -> None:
    with service.control("somebody else").lease.held(reason="busy"):
        said = nion.finish(_start(nion, service))

    assert said["ended"].startswith("the service: ")
    assert "somebody else has control" in said["ended"]
    assert (said["frames"], said["at_rest"]) == (0, True)


def test_a_service_that_asks_for_a_token_lets_the_loop_in_with_one(nion: NionPython, tmp_path: Path) -> None:
    with launched(tmp_path / "state", config=f'access = "token"\n{CONFIG}') as guarded:
        token = TokenFile(tmp_path / "state").add("kim", Role.OPERATOR)
        said = nion.finish(_start(nion, guarded, "--visits", "2", "--token", token))

    assert (said["ended"], said["at_rest"]) == ("", True)
    assert said["errors_nm"]["corrected"]


def test_a_frame_that_nobody_answers_ends_the_loop(nion: NionPython, service: Launched) -> None:
    """Its engine is held up, not killed: on a quick machine a killed one is back before the loop has asked for its next frame."""
    engine = int(service.control().status()["engine"]["pid"])
    try:
        said = _disturbed(nion, service, lambda process: os.kill(engine, signal.SIGSTOP))
    finally:
        os.kill(engine, signal.SIGCONT)

    assert said["ended"] == "no atoms came back within 1.0 s"
    assert said["at_rest"]
    assert service.control().wait_ready()


class Device:
    """A scan device that does not scan, and remembers where the beam was put."""

    is_playing = is_recording = subscan_enabled = False
    scan_context = SimpleNamespace(size=(256, 256), fov_nm=4.0, rotation_rad=0.0, center_nm=(0.0, 0.0))

    def __init__(self) -> None:
        self.positions: list[Any] = []

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "probe_position":
            self.positions.append(value)
        object.__setattr__(self, name, value)


@pytest.fixture(scope="module")
def example() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("closed_loop", ROOT / "examples" / "closed_loop.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["closed_loop"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["closed_loop"]


def test_who_cancels_while_the_service_is_asked_finds_the_beam_where_it_was(example: ModuleType) -> None:
    device, pressed = Device(), []

    def holder() -> dict[str, str]:
        pressed.append(True)
        return {"holder": "kim (operator) for closed loop"}

    control = SimpleNamespace(lease=SimpleNamespace(holder=holder))
    loop = example.ClosedLoop(device, None, None, control, example.Plan(), lambda visit: None, lambda: bool(pressed))
    steady = np.mgrid[:6, :6].reshape(2, -1).T * 0.142
    for k in range(3):
        loop.drift.add(time.time() - 0.3 + 0.1 * k, steady)
    loop.targets = [example.Target(np.zeros(2), np.zeros(2))]

    with pytest.raises(example.Stopped, match="the user stopped it"):
        loop._look_until_known()
    with pytest.raises(example.Stopped, match="the user stopped it"):
        loop._visit(0)
    assert set(device.positions) == {None}


def test_no_beam_is_sent_by_a_sub_scan_whose_place_is_not_known(example: ModuleType) -> None:
    """Nion's simulator has it half a nanometre from where its own description says."""
    device = Device()
    control = SimpleNamespace(lease=SimpleNamespace(holder=lambda: {"holder": "closed loop"}))
    loop = example.ClosedLoop(device, None, None, control, example.Plan(), lambda visit: None)
    device.scan_context = SimpleNamespace(size=(256, 512), fov_nm=4.0, rotation_rad=0.5, center_nm=(0.0, 0.0))
    loop._check()
    device.subscan_enabled = True

    with pytest.raises(example.Stopped, match="where a sub-scan lies"):
        loop._check()
