from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from recordings import assert_same, image_of, recorded

from atomstream_models.movies import UnreadableFile, read_movie
from atomstream_models.recording import UnreadableRecording, is_recording
from atomstream_service.record import (
    About,
    Answering,
    Closing,
    Compression,
    Framed,
    Journaled,
    Message,
    Opening,
    RecordingRefused,
    RecordingWriter,
    Ring,
    decode_message,
    encode_message,
    open_recording,
    write_selection,
)
from atomstream_wire import WireError


@pytest.mark.parametrize("compression", ["lzf", "gzip", "none"])
def test_what_was_recorded_is_read_back(tmp_path: Path, compression: Compression) -> None:
    kinds = [
        {"shape": (48, 64)},
        {"shape": (48, 64), "dtype": ">f4", "pixel_size": None},
        {"shape": (32, 40), "source": "gatan/dm"},
        {"shape": (48, 64), "maps": True, "drift": True},
    ]
    items = [recorded(k, **kinds[k // 2 % 4]) for k in range(24)]  # type: ignore[arg-type]
    writer = RecordingWriter(tmp_path / "scan.h5", About("scan", "to see", "kim"), compression=compression)
    for item in items:
        writer.add(item)
    writer.journal({"generation": 3, "why": "foggy"})
    writer.ensemble("graphene", "2", "abc", {"classes": ["C"]})
    writer.ensemble("graphene", "2", "abc", {"classes": ["C"]})
    writer.finish("stopped")

    with open_recording(tmp_path / "scan.h5") as recording:
        assert (recording.complete, recording.ended_because) == (True, "stopped")
        assert (recording.title, recording.reason, recording.actor) == ("scan", "to see", "kim")
        assert len(recording) == 24
        for found, expected in zip(recording, items, strict=True):
            assert_same(found, expected)
        with_maps = [k for k, item in enumerate(items) if item.mean is not None]
        assert [k for k, found in enumerate(recording) if found.mean is not None] == with_maps
        for k in with_maps:
            mean, std, expected_mean, expected_std = recording.frame(k).mean, recording.frame(k).std, items[k].mean, items[k].std
            assert mean is not None
            assert expected_mean is not None
            np.testing.assert_allclose(mean, expected_mean, atol=5e-4)
            assert (std is None) == (expected_std is None)
        assert list(recording.generation) == [k // 10 for k in range(24)]
        assert [one.frames[:3] for one in recording.series] == [(0, 1, 6), (2, 3, 10), (4, 5, 12)]
        assert [one.pixel_nm for one in recording.series] == [(0.01, 0.01), None, (0.01, 0.01)]
        assert recording.journal == ({"generation": 3, "why": "foggy"},)
        assert [one.card for one in recording.ensembles] == [{"classes": ["C"]}]
        assert set(recording.software) == {"atomstream", "h5py", "hdf5", "numpy"}


def test_a_viewer_finds_the_frames_with_their_axes(tmp_path: Path) -> None:
    write_selection(tmp_path / "scan.h5", [recorded(k) for k in range(3)], About("scan"))

    with h5py.File(tmp_path / "scan.h5") as h5:
        entry = h5[h5.attrs["default"]]
        data = entry[entry.attrs["default"]]
        assert (h5.attrs["NX_class"], entry.attrs["NX_class"], data.attrs["NX_class"]) == ("NXroot", "NXentry", "NXdata")
        image = data[data.attrs["signal"]]
        assert image.shape == (3, 48, 64)
        assert image.attrs["units"] == "counts"
        axes = [data[name] for name in data.attrs["axes"]]
        assert [len(one) for one in axes] == list(image.shape)
        assert [one.attrs["units"] for one in axes] == ["s", "nm", "nm"]
        assert axes[1][1] == pytest.approx(0.01)


def test_a_recording_is_read_while_it_is_written(tmp_path: Path) -> None:
    writer = RecordingWriter(tmp_path / "scan.h5", About("scan"), commit_s=1000)
    for k in range(5):
        writer.add(recorded(k))
    writer.commit()
    writer.add(recorded(5))

    with open_recording(tmp_path / "scan.h5") as recording:
        assert (len(recording), recording.complete) == (5, False)
        np.testing.assert_array_equal(recording.image(4), image_of(4))
    writer.finish("stopped")


_KILLED_BETWEEN = """
import os, sys
from pathlib import Path
from recordings import recorded
from atomstream_service.record import About, RecordingWriter, _writer
made = _writer.create_images
def create(group, number, item, compression):
    made(group, number, item, compression)
    if number == 1:
        os.kill(os.getpid(), 9)
_writer.create_images = create
writer = RecordingWriter(Path(sys.argv[1]), About("scan"))
for k in range(6):
    writer.add(recorded(k, (48, 64) if k < 4 else (32, 32)))
"""


def test_a_kill_while_the_file_is_outside_its_safe_mode_loses_nothing(tmp_path: Path) -> None:
    file = tmp_path / "scan.h5"
    ended = subprocess.run([sys.executable, "-c", _KILLED_BETWEEN, str(file)], cwd=Path(__file__).parents[1], check=False)
    before = file.read_bytes()

    assert ended.returncode == -9
    with open_recording(file) as recording:
        assert (len(recording), recording.complete) == (4, False)
        for k in range(4):
            np.testing.assert_array_equal(recording.frame(k).image, image_of(k))
    assert is_recording(file)
    assert file.read_bytes() == before


def test_recordings_are_never_overwritten(tmp_path: Path) -> None:
    write_selection(tmp_path / "scan.h5", [recorded(0)], About("scan"))
    before = (tmp_path / "scan.h5").read_bytes()

    with pytest.raises(RecordingRefused, match=r"scan\.h5 is there already"):
        write_selection(tmp_path / "scan.h5", [recorded(1)], About("scan"))
    with pytest.raises(RecordingRefused, match=r"scan\.h5 is there already"):
        RecordingWriter(tmp_path / "scan.h5", About("scan"))

    assert (tmp_path / "scan.h5").read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["scan.h5"]


@pytest.mark.parametrize("content", [b"", b"\x89HDF\r\n\x1a\n" + bytes(10), b"\x89HDF\r\n\x1a\n\x03" + bytes(200), b"no HDF5 at all" * 10])
def test_damaged_files_are_named_and_no_recordings(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "broken.h5").write_bytes(content)

    with pytest.raises(UnreadableRecording, match=r"broken\.h5"):
        open_recording(tmp_path / "broken.h5")
    with pytest.raises(UnreadableFile, match=r"broken\.h5"):
        read_movie(tmp_path / "broken.h5")
    assert not is_recording(tmp_path / "broken.h5")


def test_recordings_are_read_as_frames_by_every_command(tmp_path: Path) -> None:
    write_selection(tmp_path / "scan.h5", [recorded(k) for k in range(4)], About("scan"))
    write_selection(tmp_path / "two.h5", [recorded(k, (48, 64) if k < 3 else (32, 40), pixel_size=None) for k in range(5)], About("two"))

    images, pixel_nm = read_movie(tmp_path / "scan.h5")
    np.testing.assert_array_equal(images, [image_of(k) for k in range(4)])
    assert pixel_nm == pytest.approx(0.01)
    with pytest.raises(UnreadableFile, match=r"images_000/data \[3, 48, 64\], .*images_001/data \[2, 32, 40\]; name one"):
        read_movie(tmp_path / "two.h5")
    images, pixel_nm = read_movie(Path(f"{tmp_path}/two.h5::images_001"))
    np.testing.assert_array_equal(images, [image_of(k, (32, 40)) for k in (3, 4)])
    assert pixel_nm is None


def test_frames_are_found_in_other_programs_files(tmp_path: Path) -> None:
    frames = np.arange(3 * 16 * 20, dtype=np.float32).reshape(3, 16, 20)
    with h5py.File(tmp_path / "one.h5", "w") as h5:
        h5["deep/inside"] = frames
        h5["positions"] = np.zeros((500, 2))
        h5["spectrum"] = np.zeros(2048)
    with h5py.File(tmp_path / "many.h5", "w") as h5:
        h5["a"], h5["b"] = frames, frames + 1
    with h5py.File(tmp_path / "nexus.nxs", "w") as h5:
        h5["e/d/data"], h5["e/d/other"], h5["e/d/y"], h5["e/d/x"] = frames, frames + 1, np.arange(16) * 20.0, np.arange(20) * 20.0
        h5["e/d/y"].attrs["units"] = h5["e/d/x"].attrs["units"] = "pm"
        h5.attrs["default"], h5["e"].attrs["default"] = "e", "d"
        h5["e/d"].attrs.update({"signal": "data", "axes": [".", "y", "x"]})
    with h5py.File(tmp_path / "none.h5", "w") as h5:
        h5["numbers"] = np.arange(5)

    np.testing.assert_array_equal(read_movie(tmp_path / "one.h5")[0], frames)
    np.testing.assert_array_equal(read_movie(Path(f"{tmp_path}/many.h5::b"))[0], frames + 1)
    with pytest.raises(UnreadableFile, match=r"/a \[3, 16, 20\], /b"):
        read_movie(tmp_path / "many.h5")
    images, pixel_nm = read_movie(tmp_path / "nexus.nxs")
    np.testing.assert_array_equal(images, frames)
    assert pixel_nm == pytest.approx(0.02)
    with pytest.raises(UnreadableFile, match="no array that looks like frames"):
        read_movie(tmp_path / "none.h5")
    with pytest.raises(UnreadableFile, match="no dataset 'c'"):
        read_movie(Path(f"{tmp_path}/many.h5::c"))


def test_the_ring_holds_the_last_frames_within_its_bounds() -> None:
    ring, by_number = Ring(10 * recorded(0).image.nbytes + 400, 1000), Ring(1 << 30, 3)
    items = [recorded(k, maps=True, t_recv=1000.0 + k, source="a" if k % 2 else "b") for k in range(20)]
    for item in items:
        ring.add(item)
        by_number.add(item)

    summary = ring.summary()
    assert summary.bytes <= 10 * items[0].image.nbytes + 400
    assert summary.count == len(summary.seqs) >= 9
    assert (summary.t_to, summary.seqs[-1][1]) == (1019.0, 19)
    assert sum(summary.sources.values()) == summary.count
    assert by_number.summary().count == 3
    kept = by_number.select()
    assert [one.report.seq for one in kept] == [17, 18, 19]
    assert all(one.mean is None and one.std is None for one in kept)
    assert np.shares_memory(kept[-1].image, items[-1].image)
    assert list(kept[-1].frame.channels) == ["HAADF"]


def test_the_ring_gives_what_was_asked_for() -> None:
    ring = Ring(1 << 30, 100)
    for k in range(10):
        ring.add(recorded(k, t_recv=1000.0 + k, source="a" if k % 2 else "b"))

    def seqs(**wanted: object) -> list[int]:
        return [one.report.seq for one in ring.select(**wanted)]  # type: ignore[arg-type]

    assert seqs(last=2) == [8, 9]
    assert seqs(last=2, source="a") == [7, 9]
    assert seqs(last=0) == []
    assert seqs(t_from=1003, t_to=1005) == [3, 4, 5]
    assert seqs(frames=[("a-session", 4), ("a-session", 99), ("other", 5)]) == [4]
    ring.clear()
    assert ring.summary().bytes == 0


@pytest.mark.parametrize(
    "message",
    [
        Framed(recorded(3)),
        Framed(recorded(4, maps=True, drift=True)),
        Framed(recorded(5, maps=True)),
        Journaled({"generation": 4, "why": "foggy"}),
        Answering("graphene", "2", "abc", {"classes": ["C"]}),
        Opening(),
        Closing(7),
    ],
)
def test_every_message_to_a_recorder_comes_through(message: Message) -> None:
    found = decode_message([bytes(part) for part in encode_message(message)])

    if not isinstance(message, Framed):
        assert found == message
        return
    assert isinstance(found, Framed)
    assert_same(found.item, message.item)
    np.testing.assert_equal((found.item.mean, found.item.std), (message.item.mean, message.item.std))


def test_a_frame_goes_to_the_recorder_from_its_own_memory() -> None:
    item = recorded(4, maps=True)
    parts = encode_message(Framed(item))

    for array in (item.image, item.atoms, item.mean):
        assert array is not None
        assert any(isinstance(part, memoryview) and np.shares_memory(np.frombuffer(part, np.uint8), array) for part in parts)


@pytest.mark.parametrize("parts", [[], [b"frame"], [b"frame", b"{}"], [b"frame", b"{}", b"{}", b"", b"{}", b""], [b"journal", b"{"], [b"other", b"{}"]])
def test_other_messages_to_a_recorder_are_refused(parts: list[bytes]) -> None:
    with pytest.raises(WireError):
        decode_message(parts)
