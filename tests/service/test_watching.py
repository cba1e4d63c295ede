"""A folder in which an instrument leaves its files, followed by `atomstream replay --watch`."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from waiting import until

from atomstream_client.testing import answering
from atomstream_service.cli import main
from atomstream_service.files import FolderWatch
from atomstream_wire import Frame, Result


class _Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def _at(watch: FolderWatch, clock: _Clock, now: float) -> list[str]:
    clock.now = now
    return [one.name for one in watch.finished()]


def test_a_file_is_told_once_it_has_stopped_growing_and_again_when_it_has_changed(tmp_path: Path) -> None:
    (tmp_path / "old.npy").write_bytes(b"before")
    clock = _Clock()
    watch = FolderWatch(tmp_path, 2.0, clock=clock)
    file = tmp_path / "day" / "scan.dm4"
    file.parent.mkdir()

    assert _at(watch, clock, 0) == []
    file.write_bytes(b"half")
    assert _at(watch, clock, 1) == []
    assert _at(watch, clock, 2.5) == []
    file.write_bytes(b"half and half")
    assert _at(watch, clock, 4) == []
    assert _at(watch, clock, 5.9) == []
    assert _at(watch, clock, 6) == ["scan.dm4"]
    assert _at(watch, clock, 60) == []
    file.write_bytes(b"half and half again")
    assert _at(watch, clock, 61) == []
    assert _at(watch, clock, 63) == ["scan.dm4"]
    file.unlink()
    assert _at(watch, clock, 64) == []
    file.write_bytes(b"half and half again")
    assert _at(watch, clock, 65) == []
    assert _at(watch, clock, 67) == ["scan.dm4"]


def test_files_of_a_share_that_was_away_for_a_while_are_no_news(tmp_path: Path) -> None:
    clock, share, away = _Clock(), tmp_path / "share", tmp_path / "away"
    share.mkdir()
    (share / "old.npy").write_bytes(b"before")
    watch = FolderWatch(share, 2.0, clock=clock)
    (share / "scan.npy").write_bytes(b"scan")
    _at(watch, clock, 0)
    assert _at(watch, clock, 2) == ["scan.npy"]

    share.rename(away)
    assert _at(watch, clock, 3) == []
    share.mkdir()  # the mount point without what is mounted on it
    assert _at(watch, clock, 4) == []
    share.rmdir()
    away.rename(share)

    assert [_at(watch, clock, now) for now in (5, 8, 11)] == [[], [], []]


def test_only_files_of_frames_are_told_in_the_order_in_which_they_were_written(tmp_path: Path) -> None:
    clock = _Clock()
    watch = FolderWatch(tmp_path, 2.0, existing=True, clock=clock)
    for age, name in enumerate(("b.tif", "a.tif", ".c.tif", "notes.txt", "empty.npy", "d.zspy/0.0", "d.zspy/.zarray")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"" if name == "empty.npy" else b"data")
        os.utime(tmp_path / name, (1000 + age, 1000 + age))

    assert _at(watch, clock, 0) == []
    assert _at(watch, clock, 2) == ["b.tif", "a.tif", "d.zspy"]


def test_files_that_appear_are_sent_with_their_pixel_size_and_name(tmp_path: Path) -> None:
    came: list[Frame] = []

    def note(frame: Frame) -> list[Result]:
        came.append(frame)
        return []

    images = np.arange(2 * 16 * 20, dtype=np.float32).reshape(2, 16, 20)
    folder = tmp_path / "scans"
    folder.mkdir()
    np.save(folder / "old.npy", images)
    np.savez(tmp_path / "b.npz", images=images + 1, pixel_size_nm=(0.02, 0.01))
    whole = (tmp_path / "b.npz").read_bytes()
    with answering(note) as (frames, _):
        command = [sys.executable, "-m", "atomstream_service", "replay", "--watch", str(folder), "--to", frames, "--settle-s", "1", "--fps", "100"]
        running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            assert running.stdout is not None
            assert "watching" in running.stdout.readline()
            (folder / "broken.npy").write_bytes(b"no frames")
            (folder / "b.npz").write_bytes(whole[:300])
            until(lambda: list(folder.iterdir()), lambda there: len(there) == 3)
            with (folder / "b.npz").open("ab") as growing:
                growing.write(whole[300:])
            (folder / "day").mkdir()
            shutil.copy(tmp_path / "b.npz", folder / "day" / "c.npz")
            shutil.copy(tmp_path / "b.npz", folder / os.fsdecode(b"25\xb5m.npz"))  # as a share in Latin-1 has it
            until(lambda: len(came), lambda count: count == 6)
        finally:
            running.send_signal(signal.SIGINT)
            said, complained = running.communicate(timeout=30)

    assert running.returncode == 0
    assert {one.source for one in came} == {"files/scans"}
    assert [one.seq for one in came] == list(range(6))
    assert sorted((one.series, one.frame) for one in came) == [(name, k) for name in ("25?m.npz", "b.npz", str(Path("day/c.npz"))) for k in range(2)]
    assert {one.user["file"] for one in came} == {one.series for one in came}
    assert {one.pixel_size for one in came} == {(0.02, 0.01)}
    np.testing.assert_array_equal([one.channels["image"] for one in came], [*images + 1] * 3)
    assert "sent 6 frames, 0 dropped" in said
    assert "broken.npy is not an .npy file" in complained


@pytest.mark.parametrize(
    ("arguments", "said"), [(["--watch", "nowhere"], "there is no folder nowhere"), (["--watch", ".", "--settle-s", "0"], "--settle-s 0 is not above 0")]
)
def test_what_can_not_be_watched_is_said(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", *arguments]) == 1
    assert said in capsys.readouterr().err
