"""What becomes of frames once they have been answered, and whoever waits for it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import make_plain_bundle
from finishing import active_of, finished, works
from waiting import until

from atomstream_models.runtime import load_ensemble
from atomstream_service.engine._afterwards import Afterwards
from atomstream_service.engine._ledger import Ledger
from atomstream_service.engine._publishing import Pipeline
from atomstream_service.engine._timing import Timing
from atomstream_service.engine._work import Active, Finished
from atomstream_service.transport import ResultSocket
from atomstream_wire import Event


@pytest.fixture(scope="module")
def active(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Active]:
    ensemble = load_ensemble(make_plain_bundle(tmp_path_factory.mktemp("plain")), "cpu", 1)
    yield active_of(ensemble)
    ensemble.close()


def _pipeline(tmp_path: Path, published: Afterwards | None = None, sent: threading.Event | None = None) -> Pipeline:
    def heard(one: Finished) -> None:
        if sent is not None:
            sent.wait(30)
        if published is not None:
            published.add(one)

    return Pipeline(ResultSocket(f"ipc://{tmp_path}/results", 10), Ledger(), Timing(), True, map, heard, lambda source: False)


def test_a_frame_that_can_not_be_kept_is_counted_and_the_log_says_so_once_a_minute(active: Active, caplog: pytest.LogCaptureFixture) -> None:
    def full(one: Finished) -> None:
        raise OSError(28, "no room")

    kept: list[int] = []
    afterwards = Afterwards([], [full, lambda one: kept.append(one.report.seq)])
    afterwards.start()
    work = works(active)
    with caplog.at_level(logging.ERROR):
        for seq in range(20):
            afterwards.add(finished(work(seq)))
        assert afterwards.catch_up(30)
    afterwards.stop()

    assert kept == list(range(20))
    assert afterwards.failed == 20
    assert ["no room" in record.getMessage() for record in caplog.records] == [True]
    assert caplog.records[0].exc_info is not None


def test_whoever_waits_for_what_was_answered_waits_for_frames_that_are_being_sent(active: Active, tmp_path: Path) -> None:
    kept: list[int] = []
    sent = threading.Event()
    afterwards = Afterwards([], [lambda one: kept.append(one.report.seq)])
    pipeline = _pipeline(tmp_path, afterwards, sent)
    afterwards.start()
    pipeline.start()
    pipeline.finish(works(active)(7))
    too_early = pipeline.catch_up(0.2)
    sent.set()

    assert not too_early
    assert pipeline.catch_up(30)
    assert afterwards.catch_up(30)
    assert kept == [7]
    pipeline.stop()
    afterwards.stop()


def test_nobody_waits_for_a_pipeline_that_has_ended(tmp_path: Path) -> None:
    pipeline = _pipeline(tmp_path)
    pipeline.start()
    pipeline.stop()
    done = threading.Event()

    def talk() -> None:
        for _ in range(40):
            pipeline.say_at_once(Event("drift", 0.0, {}))
            pipeline.say(Event("drift", 0.0, {}))
        done.set()

    threading.Thread(target=talk, daemon=True).start()

    until(done.is_set, bool, 10)
    assert not pipeline.catch_up(30)
