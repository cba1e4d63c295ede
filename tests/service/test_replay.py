"""`atomstream replay` through real sockets; a service in memory writes down what comes."""

from __future__ import annotations

import time
from dataclasses import fields
from pathlib import Path

import h5py
import numpy as np
import pytest
from recordings import image_of, recorded

from atomstream_client.testing import answering
from atomstream_service.cli import main
from atomstream_service.record import About, RecordingWriter, open_recording, write_selection
from atomstream_wire import Frame, Result


def _replayed(count: int, *arguments: str) -> list[Frame]:
    """Frames that come when this is replayed, which are to be so many."""
    came: list[Frame] = []

    def note(frame: Frame) -> list[Result]:
        came.append(frame)
        return []

    with answering(note) as (frames, _):
        assert main(["replay", *arguments, "--to", frames]) == 0
        deadline = time.monotonic() + 30
        while len(came) < count and time.monotonic() < deadline:
            time.sleep(0.01)
    assert len(came) == count
    return came


def test_a_recording_is_replayed_with_the_pixels_and_headers_that_came(tmp_path: Path) -> None:
    items = [recorded(k, (48, 64) if k < 6 else (32, 40), dtype=">u2", source=("nion/usim", "gatan/dm")[k % 2], t_recv=1000 + 0.01 * k) for k in range(12)]
    write_selection(tmp_path / "scan.h5", items, About("scan"))

    came = _replayed(12, str(tmp_path / "scan.h5"))

    by_source = [[one for one in came if one.source == f"replay/{source}"] for source in ("nion/usim", "gatan/dm")]
    for found, expected in zip(by_source, (items[::2], items[1::2]), strict=True):
        for seq, (one, item) in enumerate(zip(found, expected, strict=True)):
            np.testing.assert_array_equal(one.channels["HAADF"], item.image)
            assert one.channels["HAADF"].dtype == item.image.dtype
            assert one.seq == seq
            for field in fields(Frame):
                if field.name not in ("channels", "session", "seq", "source", "t_send"):
                    assert getattr(one, field.name) == getattr(item.frame, field.name), field.name


def test_frames_are_replayed_at_the_recorded_pace_by_a_factor(tmp_path: Path) -> None:
    write_selection(tmp_path / "scan.h5", [recorded(k, t_recv=1000.0 + 4 * k) for k in range(3)], About("scan"))

    came = _replayed(3, str(tmp_path / "scan.h5"), "--speed", "10")

    sent = [one.t_send for one in came]
    assert sent[0] is not None
    assert sent[-1] is not None
    assert sent[-1] - sent[0] > 0.75
    _replayed(3, str(tmp_path / "scan.h5"), "--fps", "1000")


def test_an_interrupted_recording_is_replayed_as_far_as_it_goes(tmp_path: Path) -> None:
    writer = RecordingWriter(tmp_path / "scan.h5", About("scan"))
    for k in range(4):
        writer.add(recorded(k))
    writer.commit()

    came = _replayed(4, str(tmp_path / "scan.h5"), "--fps", "500", "--pixel-size-nm", "0.5")

    writer.finish("stopped")
    assert [one.frame for one in came] == [0, 7, 14, 21]
    assert {one.pixel_size for one in came} == {(0.5, 0.5)}


def test_other_programs_hdf5_files_are_replayed_one_frame_at_a_time(tmp_path: Path) -> None:
    frames = np.arange(4 * 16 * 20, dtype=np.float16).reshape(4, 16, 20)
    with h5py.File(tmp_path / "scan.h5", "w") as h5:
        h5["a"], h5["b"] = frames, frames + 1

    came = _replayed(4, str(tmp_path / "scan.h5"), "--fps", "500", "--dataset", "b", "--pixel-size-nm", "0.02")

    np.testing.assert_array_equal([one.channels["image"] for one in came], (frames + 1).astype(np.float32))
    assert {(one.source, one.pixel_size) for one in came} == {("replay/scan", (0.02, 0.02))}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["scan.npy", "--fps", "recorded"], "is no recording"),
        (["scan.npy", "--dataset", "a"], "about HDF5 files"),
        (["scan.npy", "--speed", "0"], "--speed 0 is not above 0"),
        (["many.h5"], "name one of them"),
        (["none.h5"], "none.h5"),
        (["empty.h5"], "holds no frame"),
        (["broken.h5"], "broken.h5 can't be read"),
    ],
)
def test_what_can_not_be_replayed_is_said(
    tmp_path: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("scan.npy", np.stack([image_of(0)]))
    (tmp_path / "broken.h5").write_bytes(b"\x89HDF\r\n\x1a\n\x02" + bytes(100))
    with h5py.File("many.h5", "w") as h5:
        h5["a"], h5["b"] = image_of(0), image_of(1)
    RecordingWriter(tmp_path / "empty.h5", About("empty")).finish("stopped")
    with open_recording(tmp_path / "empty.h5") as empty:
        assert len(empty) == 0

    assert main(["replay", *arguments]) == 1
    assert said in capsys.readouterr().err
