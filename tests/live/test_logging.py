from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq
from conftest import dots, make_plain_bundle

from atomstream_client import Atoms, Failure, FramePublisher, ResultSubscriber
from atomstream_service.demo import launched
from atomstream_wire import Frame, encode_frame

Line = dict[str, Any]


def _lines(file: Path) -> list[Line]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def _wait_for(file: Path, wanted: Callable[[Line], bool]) -> Line:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for line in _lines(file):
            if wanted(line):
                return line
        time.sleep(0.05)
    pytest.fail(f"no such line among {file.read_text(encoding='utf-8')}")


def test_both_processes_say_as_json_lines_what_went_wrong_with_which_frame_member_and_generation(tmp_path: Path) -> None:
    bundle = make_plain_bundle(tmp_path / "plain", biases=(-1.0, 1.0, -1.0), fragile=1)
    log = tmp_path / "log"
    settings = 'log_format = "json"\nwarm_shapes = [[56, 64]]\n'
    with log.open("wb") as stderr, launched(tmp_path / "state", bundle=str(bundle.folder), config=settings, stderr=stderr) as service:
        image = dots((56, 64), [(20.0, 30.0)])
        with FramePublisher("test/logs", service.frames) as publisher, ResultSubscriber(service.results, kinds=("atoms", "error")) as subscriber:
            assert publisher.wait_for_reader()
            time.sleep(0.2)
            publisher.publish(image)
            assert isinstance(subscriber.receive(30), Atoms)
            publisher.publish(np.where(np.arange(64) == 9, np.nan, image).astype(np.float32))
            assert isinstance(subscriber.receive(30), Failure)
            publisher.publish(image - 9.0)
            assert isinstance(subscriber.receive(30), Atoms)
        rejected = _wait_for(log, lambda one: one["message"].startswith("frame rejected"))
        failed = _wait_for(log, lambda one: one.get("member") == "m01")
        marked = _wait_for(log, lambda one: one.get("action") == "set_members" and one["actor"] == "engine")
        service.control("kim").set_member("m02", "disabled", reason="foggy")
        swapped = _wait_for(log, lambda one: one["message"].endswith("with m00") and one["process"] == "engine")
        os.kill(int(service.control().status()["engine"]["pid"]), signal.SIGKILL)
        restarted = _wait_for(log, lambda one: one.get("action") == "restart_engine")

    assert (rejected["process"], rejected["level"], rejected["code"], rejected["source"], rejected["seq"]) == (
        "engine",
        "warning",
        "not_finite",
        "test/logs",
        1,
    )
    assert (failed["level"], failed["source"], failed["seq"], failed["session"]) == ("error", "test/logs", 2, rejected["session"])
    assert marked["process"] == "control"
    assert failed["generation"] < marked["generation"] < swapped["generation"] == restarted["generation"]
    assert any((one.get("actor"), one["message"], one.get("target")) == ("kim", "set_members m02 by kim: foggy", "m02") for one in _lines(log))


def test_lost_frames_are_counted_on_one_line_a_second(tmp_path: Path) -> None:
    bundle = make_plain_bundle(tmp_path / "plain")
    log = tmp_path / "log"
    settings = 'log_format = "json"\nwarm_shapes = [[56, 64]]\n[[frames]]\npolicy = "queue"\ndepth = 1000\n'
    with log.open("wb") as stderr, launched(tmp_path / "state", bundle=str(bundle.folder), config=settings, stderr=stderr) as service:
        frames: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.PUB)
        with frames, ResultSubscriber(service.results, kinds=("atoms",)) as subscriber:
            frames.connect(service.frames)
            time.sleep(0.5)
            for k in range(20):
                frame = Frame({"image": dots((56, 64), [(20.0, 30.0)])}, "session", 4 * k, "test/gaps")
                frames.send_multipart([bytes(part) for part in encode_frame(frame)])
                assert isinstance(subscriber.receive(30), Atoms)
        time.sleep(1.2)
        gaps = [one for one in _lines(log) if one["message"].startswith("frames lost before")]

    assert sum(one["count"] for one in gaps) == 3 * 19
    assert all(one["source"] == "test/gaps" for one in gaps)
    assert len(gaps) < 19
