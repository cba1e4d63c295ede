"""Recorders in processes of their own, fed over real sockets."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recordings import assert_same, image_of, recorded

from atomstream_models.recording import UnreadableRecording
from atomstream_service.cli import main
from atomstream_service.record import (
    CANNOT_RECORD,
    Limits,
    RecordedFrame,
    RecorderFeed,
    RecorderReport,
    RecorderSpec,
    RecordingFailed,
    RecordingHandle,
    RecordingInfo,
    RecordingRefused,
    RecordingRequest,
    Recordings,
    RecordingState,
    open_recording,
)
from atomstream_service.transport import PushSocket


@pytest.fixture
def recordings(tmp_path: Path) -> Iterator[Recordings]:
    made = Recordings(tmp_path / "recordings")
    yield made
    made.close()


def _wait(until: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not until():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def _feed(recordings_handle: RecordingHandle, **settings: Any) -> RecorderFeed:
    feed = RecorderFeed(recordings_handle.endpoint, **settings)
    assert feed.wait_ready(30)
    return feed


def _sent(feed: RecorderFeed, item: RecordedFrame) -> None:
    """Hand a frame over for certain."""
    _wait(lambda: feed.add(item), f"frame {item.report.seq} could not be handed over")


def _ended(recordings: Recordings, name: str) -> RecordingInfo:
    _wait(lambda: recordings.info(name).state is not RecordingState.RECORDING, f"{name} did not end")
    return recordings.info(name)


def _frames(path: Path) -> list[RecordedFrame]:
    with open_recording(path) as recording:
        return list(recording)


def test_of_500_frames_all_but_the_last_second_survive_a_kill(recordings: Recordings, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    handle = recordings.start("scan", RecordingRequest(reason="to see", actor="kim"))
    feed = _feed(handle)
    written: list[RecordedFrame] = []
    for k in range(500):
        # The field of view changes twice, so the file is left and entered again twice.
        item = recorded(k, (48, 64) if k // 100 != 1 else (40, 40))
        feed.add(item)
        written.append(item)
        time.sleep(0.004)
        if k == 250:
            _wait(lambda: handle.report.frames > 150, "the recorder is far behind")
            known = handle.report.frames
            os.kill(handle.pid, signal.SIGKILL)
    feed.close()

    found = _frames(handle.path)
    first, last = found[0].report.seq, found[-1].report.seq
    assert written[known - 1].report.t_recv - written[last].report.t_recv < 1.0
    assert (first, last) == (0, len(found) - 1)
    for one in found:
        assert_same(one, written[one.report.seq])
    _wait(lambda: feed.dropped > 0, "what the recorder did not get was not counted")

    after = Recordings(tmp_path / "recordings")
    later = after.list()
    after.close()
    assert [(one.name, one.state, one.frames, one.actor) for one in later] == [("scan", RecordingState.INTERRUPTED, len(found), "kim")]
    assert main(["export", str(handle.path), "--out", str(tmp_path / "atoms.csv"), "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["frames"] == len(found)
    assert "was not finished" in said.err


def test_a_recording_that_is_stopped_holds_every_frame_that_was_sent(recordings: Recordings) -> None:
    handle = recordings.start("scan-1.a", RecordingRequest(reason="to see", actor="kim", maps=True))
    feed = _feed(handle, maps=True)
    feed.ensemble("graphene", "2", "abc", {"classes": ["C"]})
    items = [recorded(k, maps=k == 3, drift=True) for k in range(40)]
    for item in items:
        _sent(feed, item)
    feed.journal({"generation": 5})
    running = recordings.info("scan-1.a")
    feed.close()
    ended = recordings.stop("scan-1.a")

    assert (running.state, running.reason) == (RecordingState.RECORDING, "to see")
    assert (ended.state, ended.ended_because, ended.frames, ended.dropped, ended.actor) == (RecordingState.FINISHED, "stopped", 40, feed.dropped, "kim")
    with open_recording(handle.path) as recording:
        found = list(recording)
        assert recording.journal == ({"generation": 5},)
        assert [one.name for one in recording.ensembles] == ["graphene"]
    for one, item in zip(found, items, strict=True):
        assert_same(one, item)
    assert [one.report.seq for one in found if one.mean is not None] == [3]
    assert recordings.list() == [ended]
    recordings.delete("scan-1.a")
    assert recordings.list() == []


def test_of_a_long_journal_all_but_the_last_second_survives_a_kill(recordings: Recordings) -> None:
    handle = recordings.start("scan", RecordingRequest())
    feed = RecorderFeed(handle.endpoint)
    for k in range(1020):
        feed.journal({"generation": k})
    assert feed.wait_ready(30)

    def written() -> int:
        with open_recording(handle.path) as recording:
            return len(recording.journal)

    _wait(lambda: written() == 1020, "the journal waits for something")
    os.kill(handle.pid, signal.SIGKILL)
    feed.close()

    with open_recording(handle.path) as recording:
        assert [one["generation"] for one in recording.journal] == list(range(1020))


def test_frames_of_different_sizes_wait_side_by_side(recordings: Recordings) -> None:
    handle = recordings.start("scan", RecordingRequest())
    feed = _feed(handle, room_bytes=8 << 20)
    os.kill(handle.pid, signal.SIGSTOP)
    taken = [feed.add(recorded(k, (32, 32) if k % 2 else (512, 512))) for k in range(24)]
    os.kill(handle.pid, signal.SIGCONT)
    feed.close()
    ended = recordings.stop("scan")

    assert all(taken)
    assert (ended.frames, ended.dropped) == (24, 0)


def test_what_several_senders_sent_is_written_whoever_leaves_first(recordings: Recordings) -> None:
    handle = recordings.start("scan", RecordingRequest())
    frames, journal = _feed(handle), _feed(handle)
    for k in range(30):
        _sent(frames, recorded(k, (128, 128)))
        journal.journal({"generation": k})
    journal.close()
    for k in range(30, 40):
        _sent(frames, recorded(k, (128, 128)))
    frames.close()
    recordings.stop("scan")

    with open_recording(handle.path) as recording:
        assert list(recording.seq) == list(range(40))
        assert [one["generation"] for one in recording.journal] == list(range(30))


def test_frames_that_the_recorder_did_not_get_are_counted_where_they_are_missing(recordings: Recordings) -> None:
    handle = recordings.start("scan", RecordingRequest())
    feed = _feed(handle, room_bytes=1)
    _sent(feed, recorded(0))
    _wait(lambda: handle.report.frames == 1, "the first frame did not arrive")
    before = feed.dropped
    os.kill(handle.pid, signal.SIGSTOP)
    lost = 0
    for k in range(1, 200):
        # As large as the buffers of the system, which would else take them all.
        lost += not feed.add(recorded(k, (512, 512)))
    os.kill(handle.pid, signal.SIGCONT)
    _wait(lambda: feed.add(recorded(200)), "the recorder did not go on")
    feed.add(recorded(201))
    sent, dropped = feed.sent, feed.dropped
    feed.close()
    ended = recordings.stop("scan")

    assert lost > 100
    with open_recording(handle.path) as recording:
        assert len(recording) == sent
        assert recording.dropped == ended.dropped == dropped
        missing = np.diff(recording.seq) - 1
        # Where `add` was called again for the same frame, more was dropped than is missing.
        assert (recording.dropped_before[1:] >= missing).all()
        assert missing.sum() >= lost
    assert before <= dropped


def test_a_recorder_that_pauses_for_a_while_loses_nothing(recordings: Recordings) -> None:
    handle = recordings.start("scan", RecordingRequest())
    feed = _feed(handle)
    os.kill(handle.pid, signal.SIGSTOP)
    taken = [feed.add(recorded(k, (128, 128))) for k in range(600)]
    os.kill(handle.pid, signal.SIGCONT)
    feed.close()
    ended = recordings.stop("scan")

    assert all(taken)
    assert (ended.frames, ended.dropped) == (600, 0)


def test_frames_for_which_there_is_no_recorder_are_dropped_and_counted(tmp_path: Path) -> None:
    feed = RecorderFeed(f"ipc://{tmp_path}/nobody")
    for k in range(5):
        feed.add(recorded(k))
    feed.close()
    _wait(lambda: (feed.sent, feed.dropped) == (0, 5), "the frames were not counted")

    assert not feed.add(recorded(5))


@pytest.mark.parametrize(
    ("limits", "because"), [(Limits(max_frames=7), "max_frames"), (Limits(max_bytes=300_000), "max_bytes"), (Limits(max_seconds=0.5), "max_seconds")]
)
def test_a_recording_ends_by_itself_at_its_limit(recordings: Recordings, limits: Limits, because: str) -> None:
    handle = recordings.start("scan", RecordingRequest(limits=limits))
    feed = _feed(handle)
    deadline, k = time.monotonic() + 60, 0
    while handle.running and time.monotonic() < deadline:
        k += feed.add(recorded(k, (128, 128)))
        time.sleep(0.005)
    feed.close()
    ended = _ended(recordings, "scan")

    assert (ended.state, ended.ended_because) == (RecordingState.FINISHED, because)
    if because == "max_frames":
        assert ended.frames == 7
    np.testing.assert_array_equal(_frames(handle.path)[0].image, image_of(0, (128, 128)))


_WITH_LITTLE_ROOM = """
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))
sys.argv = ["recorder", sys.argv[1]]
runpy.run_module("atomstream_service.record", run_name="__main__")
"""


def test_a_full_disk_ends_the_recording_with_an_error_and_what_was_written_is_readable(tmp_path: Path) -> None:
    spec = RecorderSpec(path=tmp_path / "scan.h5", endpoint=f"ipc://{tmp_path}/recorder", title="scan", commit_s=0.05)
    (tmp_path / "spec.json").write_text(spec.model_dump_json())
    command = [sys.executable, "-c", _WITH_LITTLE_ROOM, str(tmp_path / "spec.json")]
    feed = RecorderFeed(spec.endpoint)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        deadline, k = time.monotonic() + 60, 0
        while process.poll() is None and time.monotonic() < deadline:
            k += feed.add(recorded(k, (128, 128)))
            time.sleep(0.02)
        out, _ = process.communicate()
    feed.close()
    reports = [RecorderReport.model_validate_json(line) for line in out.splitlines()]

    assert process.returncode == CANNOT_RECORD
    assert reports[-1].state == "failed"
    assert "scan.h5 can't be written" in reports[-1].error
    assert "File too large" in reports[-1].error
    with open_recording(spec.path) as recording:
        assert not recording.complete
        assert len(recording) > 3
        for number, one in enumerate(recording):
            np.testing.assert_array_equal(one.image, image_of(number, (128, 128)))


def test_a_recording_never_takes_the_last_room_of_a_disk(recordings: Recordings) -> None:
    with pytest.raises(RecordingFailed, match="must stay free"):
        recordings.start("scan", RecordingRequest(limits=Limits(least_free_bytes=1 << 60)))
    assert recordings.list() == []


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b", "../up", "a b", "x" * 101, "é", "a\n"])
def test_names_that_could_lead_elsewhere_are_refused(recordings: Recordings, name: str) -> None:
    for act in (lambda: recordings.start(name, RecordingRequest()), lambda: recordings.stop(name), lambda: recordings.delete(name)):
        with pytest.raises(RecordingRefused, match="can't name a recording") as refused:
            act()
        assert refused.value.code == "bad_name"


def test_a_recording_is_neither_overwritten_nor_deleted_while_it_is_written(recordings: Recordings) -> None:
    handle: RecordingHandle = recordings.start("scan", RecordingRequest())

    with pytest.raises(RecordingRefused, match="never overwritten"):
        recordings.start("scan", RecordingRequest())
    with pytest.raises(RecordingRefused, match="never overwritten"):
        recordings.keep("scan", [recorded(0)], RecordingRequest())
    with pytest.raises(RecordingRefused, match="stop it first"):
        recordings.delete("scan")
    with pytest.raises(RecordingRefused, match="no recording other"):
        recordings.stop("other")
    assert handle.running


def test_a_recording_that_goes_while_all_are_listed_is_left_out(recordings: Recordings, tmp_path: Path) -> None:
    recordings.keep("stays", [recorded(0)], RecordingRequest())
    # As it looks between finding the name and opening the file; and a name that none of ours can have.
    (tmp_path / "recordings" / "gone.h5").symlink_to(tmp_path / "nowhere")
    (tmp_path / "recordings" / "my scan.h5").touch()

    assert [one.name for one in recordings.list()] == ["stays"]


def test_frames_from_the_ring_become_a_recording_at_once(recordings: Recordings) -> None:
    items = [recorded(k, drift=True) for k in range(5)]

    info = recordings.keep("kept", items, RecordingRequest(reason="to refine", actor="kim"), [{"generation": 0}])

    assert (info.state, info.frames, info.reason) == (RecordingState.FINISHED, 5, "to refine")
    for one, item in zip(_frames(info.path), items, strict=True):
        assert_same(one, item)
    with pytest.raises(RecordingRefused, match="no frames to write"):
        recordings.keep("empty", [], RecordingRequest())


def test_files_that_are_no_recordings_are_listed_as_unreadable(recordings: Recordings, tmp_path: Path) -> None:
    (tmp_path / "recordings" / "odd.h5").write_bytes(b"odd")

    assert [(one.name, one.state) for one in recordings.list()] == [("odd", RecordingState.UNREADABLE)]


def test_a_recorder_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    starter = f"""
from pathlib import Path
from typing import Any
from recordings import recorded
from atomstream_service.record import RecorderFeed, RecordingRequest, Recordings
import os, time
made = Recordings(Path({str(tmp_path)!r}))
handle = made.start("scan", RecordingRequest())
feed = RecorderFeed(handle.endpoint)
while not feed.add(recorded(0)):
    time.sleep(0.01)
while handle.report.frames < 1:
    time.sleep(0.01)
os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", starter], cwd=Path(__file__).parents[1], check=False, timeout=60)

    def finished() -> bool:
        try:
            with open_recording(tmp_path / "scan.h5") as recording:
                return recording.complete and len(recording) == 1
        except UnreadableRecording:  # just being closed
            return False

    _wait(finished, "the recorder went on without anybody")


def test_a_recorder_logs_as_the_rest_of_the_service(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    recordings = Recordings(tmp_path / "recordings", log_format="json")
    handle = recordings.start("scan", RecordingRequest())
    socket = PushSocket(handle.endpoint, 4)
    assert socket.wait_for_room(30)
    assert socket.send([b"nonsense", b"{}"])
    _wait(lambda: handle.report.refused == 1, "the message did not come")
    socket.close()
    recordings.close()
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]

    assert [(one["process"], one["level"], one["code"]) for one in lines] == [("recorder", "warning", "bad_value")]
    assert "scan" in lines[0]["message"]
