"""The ring and the feeding of recorders: real recorders, and frames that a real ensemble has answered."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import make_plain_bundle
from finishing import active_of, finished, works

from atomstream_models.recording import open_recording
from atomstream_models.runtime import load_ensemble
from atomstream_service.engine._keeping import Keeping
from atomstream_service.engine._work import Active
from atomstream_service.record import RecordingRequest, Recordings
from atomstream_service.transport import CommandRefused


@pytest.fixture(scope="module")
def active(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Active]:
    ensemble = load_ensemble(make_plain_bundle(tmp_path_factory.mktemp("plain")), "cpu", 1)
    yield active_of(ensemble)
    ensemble.close()


@pytest.fixture
def recordings(tmp_path: Path) -> Iterator[Recordings]:
    made = Recordings(tmp_path / "recordings")
    yield made
    made.close()


@pytest.fixture
def keeping() -> Iterator[Keeping]:
    made = Keeping(1 << 24, 40, lambda finished: None, lambda source: None)
    yield made
    made.close()


def test_a_recorder_may_be_named_twice_and_another_one_of_its_name_is_refused(recordings: Recordings, keeping: Keeping, active: Active) -> None:
    one, other = (recordings.start(name, RecordingRequest()) for name in ("one", "other"))
    keeping.start("one", one.endpoint, False, active)
    keeping.start("one", one.endpoint, False, active)
    with pytest.raises(CommandRefused, match="by another recorder already"):
        keeping.start("one", other.endpoint, False, active)

    assert list(keeping.summary()["recorders"]) == ["one"]


def test_a_recorder_that_has_gone_makes_way_for_another_of_its_name_which_an_old_order_to_end_does_not_reach(
    recordings: Recordings, keeping: Keeping, active: Active
) -> None:
    gone, other = (recordings.start(name, RecordingRequest()) for name in ("gone", "other"))
    keeping.start("one", gone.endpoint, False, active)
    os.kill(gone.pid, signal.SIGKILL)
    gone.stop()
    keeping.start("one", other.endpoint, False, active)
    keeping.stop("one", gone.endpoint, 0.0)
    keeping.keep(finished(works(active)(0)))

    assert keeping.stop("one", other.endpoint, 30.0) == {"sent": 1, "dropped": 0}
    assert recordings.stop("other").frames == 1


def test_no_frame_is_missing_or_double_where_the_ring_ends_and_the_stream_goes_on(recordings: Recordings, keeping: Keeping, active: Active) -> None:
    frames = [finished(works(active)(0))]
    work, over = works(active), threading.Event()

    def stream() -> None:
        while not over.is_set():
            keeping.keep(finished(work(len(frames))))
            frames.append(frames[0])
            time.sleep(0.001)

    streaming = threading.Thread(target=stream)
    streaming.start()
    try:
        counts = {}
        for name in ("a", "b", "c", "d"):
            until = len(frames) + 45
            while len(frames) < until:
                time.sleep(0.01)
            handle = recordings.start(name, RecordingRequest())
            counts[name] = keeping.start(name, handle.endpoint, False, active, {"last": 30})
            until = len(frames) + 20
            while len(frames) < until:
                time.sleep(0.01)
            keeping.stop(name, handle.endpoint, 30.0)
    finally:
        over.set()
        streaming.join()

    assert counts == dict.fromkeys("abcd", 30)
    for name in counts:
        info = recordings.stop(name)
        with open_recording(info.path) as recording:
            seqs = [one.report.seq for one in recording]
        assert info.dropped == 0
        assert len(seqs) >= 50
        assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))


def test_frames_of_the_ring_that_a_recorder_does_not_take_are_refused_as_soon_as_it_has_ended(recordings: Recordings, keeping: Keeping, active: Active) -> None:
    work = works(active)
    for seq in range(40):
        keeping.keep(finished(work(seq)))
    handle = recordings.start("short", RecordingRequest())
    os.kill(handle.pid, signal.SIGKILL)
    handle.stop()
    with pytest.raises(CommandRefused, match="has ended before it took all 40 frames"):
        keeping.copy_ring(handle.endpoint, {}, active)


def test_a_recording_that_is_stopped_at_once_still_has_all_frames_of_the_ring(recordings: Recordings, keeping: Keeping, active: Active) -> None:
    work = works(active)
    for seq in range(40):
        keeping.keep(finished(work(seq)))
    handle = recordings.start("both", RecordingRequest())
    keeping.start("both", handle.endpoint, False, active, {})
    keeping.stop("both", handle.endpoint, 30.0)

    assert recordings.stop("both").frames == 40
