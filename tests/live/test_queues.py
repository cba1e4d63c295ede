"""The queue policies with real sockets: what is lost is counted, what must not be lost is not."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from atomstream_client import Atoms, FramePublisher, Maps, ResultSubscriber
from atomstream_service.demo import launched

IMAGE = np.random.default_rng(0).integers(0, 900, (512, 512)).astype(np.uint16)


def _collect(subscriber: ResultSubscriber, until_seq: int, timeout_s: float = 120.0) -> list[Atoms]:
    answers: list[Atoms] = []
    deadline = time.monotonic() + timeout_s
    while not answers or answers[-1].report.seq < until_seq:
        assert time.monotonic() < deadline
        result = subscriber.receive(1.0)
        if isinstance(result, Atoms):
            answers.append(result)
    return answers


def test_latest_answers_the_newest_frame_and_counts_every_other(tmp_path: Path) -> None:
    with (
        launched(tmp_path / "s") as service,
        FramePublisher("x", service.frames, queue=100) as publisher,
        ResultSubscriber(service.results, kinds=("atoms",)) as subscriber,
    ):
        assert publisher.wait_for_reader()
        time.sleep(0.2)
        for _ in range(60):
            assert publisher.publish(IMAGE)
            time.sleep(0.01)
        answers = _collect(subscriber, until_seq=59)

        assert len(answers) < 60
        dropped = service.control().status()["streams"]["x"]["dropped"]
        assert len(answers) + sum(dropped.values()) == 60
        assert dropped["queue"] > 0


def test_block_loses_nothing_however_slow_the_service(tmp_path: Path) -> None:
    config = '[[frames]]\nsocket = "pull"\npolicy = "block"\ndepth = 2\n'
    with (
        launched(tmp_path / "s", config=config) as service,
        FramePublisher("x", service.frames, socket="push", queue=2) as publisher,
        ResultSubscriber(service.results, kinds=("atoms",)) as subscriber,
    ):
        assert publisher.wait_for_reader()
        time.sleep(0.3)
        sent = 0
        while sent < 30:
            sent += publisher.publish(IMAGE[:256, :256])
            time.sleep(0.005)
        answers = _collect(subscriber, until_seq=publisher.sent + publisher.dropped - 1)

        assert len(answers) == 30
        assert service.control().status()["streams"]["x"]["dropped"]["queue"] == 0


def test_a_reader_that_never_reads_delays_nobody(tmp_path: Path) -> None:
    with (
        launched(tmp_path / "s", config="results_backlog = 4\nwarm_shapes = [[64, 64]]") as service,
        FramePublisher("x", service.frames) as publisher,
        ResultSubscriber(service.results, queue=1) as asleep,
        ResultSubscriber(service.results, kinds=("atoms",)) as subscriber,
    ):
        assert publisher.wait_for_reader()
        time.sleep(0.2)
        for k in range(80):
            assert publisher.publish(IMAGE[:128, :128], frame=k)
            result = subscriber.receive(20)
            assert isinstance(result, Atoms)
            assert result.report.frame == k
        assert isinstance(asleep.receive(5), (Atoms, Maps))
