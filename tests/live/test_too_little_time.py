from __future__ import annotations

from pathlib import Path

import httpx
import numpy as np
from conftest import dots, make_plain_bundle

from atomstream_client import Atoms, FramePublisher, ResultSubscriber
from atomstream_service.demo import launched

_NO_TIME = "warm_shapes = [[64, 64]]\nthreads = 2\ntrial_frames = 0\ndeadline_ms = 0.001\n"


def test_frames_that_have_no_time_for_all_members_say_who_was_used_and_that_some_were_not(tmp_path: Path) -> None:
    bundle = make_plain_bundle(tmp_path / "bundle", biases=(-1.0, -0.9, -0.8, -0.7))
    image = dots((64, 64), [(20.0, 20.0), (40.0, 44.0)])
    np.save(tmp_path / "frame.npy", image)
    with (
        launched(tmp_path / "state", bundle=str(bundle.folder), config=_NO_TIME) as service,
        FramePublisher("scope", service.frames) as publisher,
        ResultSubscriber(service.results, kinds=("atoms",)) as results,
        httpx.Client(base_url=service.url, timeout=30) as http,
    ):
        assert publisher.wait_for_reader()
        answers: list[Atoms] = []
        while len(answers) < 4:
            publisher.publish(image, pixel_size=(0.01, 0.01))
            answer = results.receive(20)
            assert isinstance(answer, Atoms)
            answers.append(answer)
        deadline = http.get("/v1/status").json()["deadline"]
        single = http.post("/v1/infer", content=(tmp_path / "frame.npy").read_bytes()).json()

    assert answers[0].report.members_used == ("m00", "m01", "m02", "m03")
    for one in answers[1:]:
        assert one.report.members_used == ("m00", "m01")
        assert "degraded" in one.report.flags
        assert len(one.atoms) == 2
    assert (deadline["members"], deadline["of"], deadline["order"]) == (2, 4, "rank")
    assert single["members_used"] == ["m00", "m01", "m02", "m03"]


def test_where_all_that_had_time_fail_another_member_answers(tmp_path: Path) -> None:
    bundle = make_plain_bundle(tmp_path / "bundle", biases=(2.0, -0.9, -0.8), fragile=0)
    image = dots((64, 64), [(20.0, 20.0), (40.0, 44.0)])
    dark = image.copy()
    dark[60, 60] = -9.0
    with (
        launched(tmp_path / "state", bundle=str(bundle.folder), config=_NO_TIME.replace("threads = 2", "threads = 1")) as service,
        FramePublisher("scope", service.frames) as publisher,
        ResultSubscriber(service.results, kinds=("atoms", "error")) as results,
    ):
        assert publisher.wait_for_reader()
        used = []
        for frame in (image, image, dark, image):
            publisher.publish(frame, pixel_size=(0.01, 0.01))
            answer = results.receive(20)
            assert isinstance(answer, Atoms)
            used.append(answer.report.members_used)

    assert used[1:] == [("m00",), ("m01",), ("m01",)]
