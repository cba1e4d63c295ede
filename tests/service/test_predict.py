"""`atomstream predict`: what it writes, and what becomes of a run that is killed."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import dots, make_plain_bundle
from numpy.typing import NDArray
from recordings import recorded

from atomstream_models.bundle import Bundle
from atomstream_models.movies import read_movie
from atomstream_models.recording import RecordedFrame, atomai_coordinates, open_recording
from atomstream_service.cli import main
from atomstream_service.record import About, RecordingWriter, write_selection

CENTRES = [(20.0, 20.0), (20.0, 50.0), (40.0, 20.0)]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_plain_bundle(tmp_path_factory.mktemp("plain"), biases=(-1.0, -1.2))


@pytest.fixture
def movie(tmp_path: Path) -> Path:
    """Ten frames with three atoms each, the first of which moves by a row a frame."""
    images = np.stack([dots((64, 80), [(20.0 + k, 20.0), *CENTRES[1:]]) for k in range(10)])
    np.savez(tmp_path / "movie.npz", images=images, pixel_size_nm=(0.02, 0.01))
    return tmp_path / "movie.npz"


def _rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as text:
        return list(csv.DictReader(text))


def _predict(file: Path, bundle: Bundle, out: Path, *more: str) -> int:
    return main(["predict", str(file), "--bundle", str(bundle.folder), "--out", str(out), "--runtime", "onnxruntime", *more])


def test_a_movie_becomes_a_table_and_a_recording_that_other_commands_read(
    movie: Path, bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "deep" / "out"
    assert _predict(movie, bundle, out, "--maps", "--json") == 0
    said = json.loads(capsys.readouterr().out)

    assert {key: said[key] for key in ("frames", "taken_over", "atoms", "refused", "pixel_size_nm")} == {
        "frames": 10,
        "taken_over": 0,
        "atoms": 30,
        "refused": [],
        "pixel_size_nm": [0.02, 0.01],
    }
    assert said["files"] == [str(out / "result.h5"), str(out / "atoms.csv")]
    rows = _rows(out / "atoms.csv")
    assert list(rows[0]) == ["frame", "y", "x", "class", "p", "p_std", "votes", "sigma_y", "sigma_x", "area", "id", "y_nm", "x_nm"]
    assert [int(row["frame"]) for row in rows] == [k for k in range(10) for _ in range(3)]
    moved = sorted(float(row["y"]) for row in rows if abs(float(row["x"]) - 20) < 1 and float(row["y"]) < 35)
    assert moved == pytest.approx(np.arange(20, 30), abs=0.1)
    assert float(rows[0]["y_nm"]) == pytest.approx(0.02 * float(rows[0]["y"]))
    assert float(rows[0]["x_nm"]) == pytest.approx(0.01 * float(rows[0]["x"]))
    with open_recording(out / "result.h5") as recording:
        assert (recording.complete, len(recording), recording.series[0].pixel_nm) == (True, 10, (0.02, 0.01))
        np.testing.assert_array_equal([one.image for one in recording], read_movie(movie)[0])
        assert all(one.mean is not None and one.mean.shape == (1, 64, 80) and one.std is not None for one in recording)
        assert [one.card["name"] for one in recording.ensembles] == ["plain"]
        coordinates = atomai_coordinates(recording)
    assert list(coordinates) == list(range(10))
    assert coordinates[3].shape == (3, 3)
    np.testing.assert_allclose(coordinates[0][np.lexsort(coordinates[0][:, 1::-1].T)], [(*one, 0.0) for one in CENTRES], atol=0.1)
    assert main(["evaluate", str(out / "result.h5"), "--bundle", str(bundle.folder), "--json", str(tmp_path / "figures.json")]) == 0
    assert main(["export", str(out / "result.h5"), "--out", str(tmp_path / "again.csv")]) == 0
    assert (tmp_path / "again.csv").read_bytes() == (out / "atoms.csv").read_bytes()


def test_parquet_is_written_beside(movie: Path, bundle: Bundle, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    assert _predict(movie, bundle, tmp_path / "out", "--parquet", "--members", "m01") == 0

    table = parquet.read_table(tmp_path / "out" / "atoms.parquet")
    assert table.num_rows == 30
    assert set(table["votes"].to_pylist()) == {1}
    with open_recording(tmp_path / "out" / "result.h5") as recording:
        assert {one.report.members_used for one in recording} == {("m01",)}
        assert all("single_member" in one.report.flags for one in recording)


def test_a_recording_is_predicted_with_each_frame_s_own_pixel_size_and_number(bundle: Bundle, tmp_path: Path) -> None:
    items = [recorded(k, shape=(48, 64) if k % 2 else (32, 40), pixel_size=(0.01 * (k + 1), 0.02)) for k in range(4)]
    write_selection(tmp_path / "scan.h5", items, About("scan"))

    assert _predict(tmp_path / "scan.h5", bundle, tmp_path / "out") == 0
    with open_recording(tmp_path / "out" / "result.h5") as recording:
        found = list(recording)
    for k, (one, item) in enumerate(zip(found, items, strict=True)):
        np.testing.assert_array_equal(one.image, item.image)
        assert (one.report.seq, one.frame.frame, one.frame.pixel_size) == (k, item.frame.frame, item.frame.pixel_size)


def test_frames_that_can_not_be_processed_are_named_and_the_others_keep_their_numbers(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = np.stack([dots((64, 80), CENTRES)] * 6)
    images[[0, 2, 3, 5], 10, 10] = np.nan
    np.save(tmp_path / "movie.npy", images)

    assert _predict(tmp_path / "movie.npy", bundle, tmp_path / "out", "--json") == 0
    said = capsys.readouterr()
    refused = json.loads(said.out)["refused"]
    assert [one["frame"] for one in refused] == [0, 2, 3, 5]
    assert "row 10, column 10" in refused[0]["why"]
    assert "frame 3 is left out: 1 of 5120 pixels" in said.err
    assert sorted({int(row["frame"]) for row in _rows(tmp_path / "out" / "atoms.csv")}) == [1, 4]
    with open_recording(tmp_path / "out" / "result.h5") as recording:
        assert list(recording.seq) == [1, 4]
        assert list(recording.dropped_before) == [1, 2]
        assert recording.dropped == 4
        assert list(atomai_coordinates(recording)) == [1, 4]
    # What is made of the result has the same numbers.
    result = str(tmp_path / "out" / "result.h5")
    assert main(["export", result, "--out", str(tmp_path / "again.csv")]) == 0
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "out" / "atoms.csv").read_bytes()
    assert main(["export", result, "--out", str(tmp_path / "some.npz"), "--frames", "2-4"]) == 0
    with np.load(tmp_path / "some.npz") as archive:
        assert archive.files == ["4"]
    assert main(["export", result, "--out", str(tmp_path / "some.csv"), "--frames", "2,3"]) == 1
    assert "has none of these frames" in capsys.readouterr().err
    np.save(tmp_path / "bad.npy", images[[0, 2]])
    assert _predict(tmp_path / "bad.npy", bundle, tmp_path / "bad") == 1
    assert "no frame of" in capsys.readouterr().err
    assert not (tmp_path / "bad" / "result.h5").exists()


def _run(file: Path, bundle: Bundle, out: Path) -> subprocess.Popen[bytes]:
    arguments = ["predict", str(file), "--bundle", str(bundle.folder), "--out", str(out), "--runtime", "onnxruntime", "--maps"]
    return subprocess.Popen([sys.executable, "-m", "atomstream_service", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _committed(file: Path) -> int:
    try:
        with open_recording(file) as recording:
            return len(recording)
    except ValueError:
        return 0


def _killed_at(running: subprocess.Popen[bytes], out: Path, count: int) -> int:
    """Kill a run once so many frames have been committed; how many were in the end."""
    deadline = time.monotonic() + 60
    while running.poll() is None and _committed(out / "result.h5") < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert running.poll() is None, "it was done before it could be killed"
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    return max(_committed(out / "result.h5"), _committed(out / "result.before.h5"))


def _contents(file: Path) -> dict[str, Any]:
    """All of a result but times and latencies."""
    with open_recording(file) as recording:
        kept: dict[str, Any] = {"images": [], "atoms": [], "mean": [], "std": [], "about": []}
        for one in recording:
            kept["images"].append(one.image)
            kept["atoms"].append(one.atoms)
            kept["mean"].append(one.mean)
            kept["std"].append(one.std)
            kept["about"].append((one.report.session, one.report.seq, one.report.flags, one.report.members_used, one.frame, one.dropped_before))
        kept["about"] = [str(one) for one in kept["about"]]
    return kept


def test_a_run_that_is_killed_twice_goes_on_and_ends_as_an_unbroken_one(bundle: Bundle, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images: NDArray[np.float32] = np.stack([dots((64, 64), [tuple(rng.uniform(10, 50, 2))]) for _ in range(50)] * 14)
    images[70::150, 5, 5] = np.nan
    np.save(tmp_path / "movie.npy", images)

    first = _killed_at(_run(tmp_path / "movie.npy", bundle, tmp_path / "out"), tmp_path / "out", 50)
    with open_recording(tmp_path / "out" / "result.h5") as recording:
        times = recording.t_recv[:first].copy()
    second = _killed_at(_run(tmp_path / "movie.npy", bundle, tmp_path / "out"), tmp_path / "out", first + 50)
    for out in ("out", "whole"):
        assert _predict(tmp_path / "movie.npy", bundle, tmp_path / out, "--maps") == 0

    assert 50 <= first < second < 700
    with open_recording(tmp_path / "out" / "result.h5") as recording:
        assert recording.complete
        np.testing.assert_array_equal(recording.t_recv[:first], times)  # those frames were not computed again
    assert (tmp_path / "out" / "atoms.csv").read_bytes() == (tmp_path / "whole" / "atoms.csv").read_bytes()
    broken, unbroken = _contents(tmp_path / "out" / "result.h5"), _contents(tmp_path / "whole" / "result.h5")
    for key, values in unbroken.items():
        np.testing.assert_equal(broken[key], values, err_msg=key)
    assert sorted(one.name for one in (tmp_path / "out").iterdir()) == ["atoms.csv", "result.h5"]


@pytest.mark.parametrize("copied", [0, 2])
def test_a_kill_while_frames_are_taken_over_loses_none_of_them(movie: Path, bundle: Bundle, tmp_path: Path, copied: int) -> None:
    assert _predict(movie, bundle, tmp_path / "out") == 0
    unbroken = (tmp_path / "out" / "atoms.csv").read_bytes()
    with open_recording(tmp_path / "out" / "result.h5") as recording:
        items, journal, reason = list(recording)[:6], recording.journal, recording.reason
    (tmp_path / "out" / "result.h5").unlink()
    for name, count in (("result.before.h5", 6), ("result.h5", copied)):
        _left(tmp_path / "out" / name, journal[:1], items[:count], reason)

    assert _predict(movie, bundle, tmp_path / "out") == 0
    assert (tmp_path / "out" / "atoms.csv").read_bytes() == unbroken
    with open_recording(tmp_path / "out" / "result.h5") as recording:
        np.testing.assert_array_equal(recording.t_recv[:6], [item.report.t_recv for item in items])
        assert len(recording) == 10


_KILLED = """
import os, signal, sys, h5py
from atomstream_service.cli import main
make, left = h5py.Group.create_dataset, [int(sys.argv[1])]
def killing(*arguments, **settings):
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    return make(*arguments, **settings)
h5py.Group.create_dataset = killing
main(sys.argv[2:])
"""


@pytest.mark.parametrize("there", ["nothing", "an unfinished result"])
@pytest.mark.parametrize("made", [1, 12])
def test_a_kill_while_the_file_is_begun_is_no_end(movie: Path, bundle: Bundle, tmp_path: Path, made: int, there: str) -> None:
    assert _predict(movie, bundle, tmp_path / "whole") == 0
    out = tmp_path / "out"
    out.mkdir()
    if there != "nothing":
        with open_recording(tmp_path / "whole" / "result.h5") as recording:
            _left(out / "result.h5", recording.journal, list(recording)[:6], recording.reason)
    arguments = ["predict", str(movie), "--bundle", str(bundle.folder), "--out", str(out), "--runtime", "onnxruntime"]
    killed = subprocess.run([sys.executable, "-c", _KILLED, str(made), *arguments], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr

    assert _predict(movie, bundle, out) == 0
    assert (out / "atoms.csv").read_bytes() == (tmp_path / "whole" / "atoms.csv").read_bytes()
    assert sorted(one.name for one in out.iterdir()) == ["atoms.csv", "result.h5"]


def _left(file: Path, journal: Sequence[Mapping[str, Any]], items: Sequence[RecordedFrame], reason: str) -> None:
    """A result as a killed run leaves it."""
    writer = RecordingWriter(file, About("movie", reason, "atomstream predict"))
    for entry in journal:
        writer.journal(entry)
    for item in items:
        writer.add(item)
    writer.commit()
    writer.abandon()


def test_a_kill_between_the_copied_frames_and_the_journal_forgets_no_refused_frame(bundle: Bundle, tmp_path: Path) -> None:
    images = np.stack([dots((64, 80), CENTRES)] * 6)
    images[1, 10, 10] = np.nan
    np.save(tmp_path / "movie.npy", images)
    assert _predict(tmp_path / "movie.npy", bundle, tmp_path / "out") == 0
    with open_recording(tmp_path / "out" / "result.h5") as recording:
        items, journal, reason = list(recording)[:3], recording.journal, recording.reason
    (tmp_path / "out" / "result.h5").unlink()
    _left(tmp_path / "out" / "result.before.h5", journal, items, reason)
    _left(tmp_path / "out" / "result.h5", journal[:1], items, reason)

    assert _predict(tmp_path / "movie.npy", bundle, tmp_path / "out") == 0
    with open_recording(tmp_path / "out" / "result.h5") as recording:
        assert [entry["after"].get("frame") for entry in recording.journal] == [None, 1]
        assert list(recording.seq) == [0, 2, 3, 4, 5]


def test_an_interrupted_run_goes_on_with_the_runtime_that_it_began_with(
    movie: Path, bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("openvino")
    for runtime in ("onnxruntime", "openvino"):
        out = tmp_path / runtime
        assert _predict(movie, bundle, out, "--runtime", runtime) == 0
        with open_recording(out / "result.h5") as recording:
            items, journal, reason = list(recording)[:6], recording.journal, recording.reason
        (out / "result.h5").unlink()
        _left(out / "result.h5", journal[:1], items, reason)
        capsys.readouterr()

        assert _predict(movie, bundle, out, "--runtime", "auto", "--json") == 0
        said = json.loads(capsys.readouterr().out)
        assert said["ensemble"]["runs_on"].startswith(f"{runtime} ")
        assert (said["taken_over"], said["frames"]) == (6, 10)


def test_a_folder_that_holds_something_else_is_left_as_it_is(movie: Path, bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _predict(movie, bundle, tmp_path / "out") == 0
    before = (tmp_path / "out" / "result.h5").read_bytes()
    other = make_plain_bundle(tmp_path / "other", biases=(-1.0, -1.5))
    np.save(tmp_path / "other.npy", np.stack([dots((64, 80), CENTRES)] * 10))

    for file, used, more, said in (
        (movie, bundle, ["--maps"], "whether maps are written differs"),
        (movie, bundle, ["--members", "m00"], "the members differs"),
        (movie, bundle, ["--pixel-size-nm", "0.5"], "the pixel size differs"),
        (movie, other, [], "the ensemble differs"),
        (tmp_path / "other.npy", bundle, ["--pixel-size-nm", "0.01"], "the frames themselves"),
    ):
        assert _predict(file, used, tmp_path / "out", *more) == 1
        assert said in capsys.readouterr().err
    assert _predict(movie, bundle, tmp_path / "out") == 0
    assert "10 of them were there already" in capsys.readouterr().out
    assert (tmp_path / "out" / "result.h5").read_bytes() == before
    assert _predict(tmp_path / "out" / "result.h5", bundle, tmp_path / "out") == 1
    assert "is read by this command" in capsys.readouterr().err
    write_selection(tmp_path / "out2.h5", [recorded(0)], About("scan"))
    (tmp_path / "out2").mkdir()
    (tmp_path / "out2.h5").rename(tmp_path / "out2" / "result.h5")
    assert _predict(movie, bundle, tmp_path / "out2") == 1
    assert "is the result of something else" in capsys.readouterr().err
    (tmp_path / "out3").mkdir()
    (tmp_path / "out3" / "result.h5").write_text("notes")
    assert _predict(movie, bundle, tmp_path / "out3") == 1
    assert (tmp_path / "out3" / "result.h5").read_text() == "notes"


def test_where_a_lock_can_not_be_removed_it_is_left_and_taken_again(movie: Path, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remove = Path.unlink

    def as_on_windows(path: Path, missing_ok: bool = False) -> None:
        if path.name == ".predict.lock":
            raise PermissionError(13, "The process cannot access the file because it is being used by another process")
        remove(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", as_on_windows)
    for _ in range(2):
        assert _predict(movie, bundle, tmp_path / "out") == 0


def test_a_file_whose_name_is_no_utf_8_is_predicted(movie: Path, bundle: Bundle, tmp_path: Path) -> None:
    named = os.fsencode(tmp_path) + b"/25\xb5m.npz"  # as a share in Latin-1 has it
    os.rename(movie, named)

    assert _predict(Path(os.fsdecode(named)), bundle, tmp_path / "out") == 0
    with open_recording(tmp_path / "out" / "result.h5") as recording:
        assert {one.frame.source for one in recording} == {"25?m"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--members", "m00,m07"], "has no member m07"),
        (["--members", ","], "names no member"),
        (["--pixel-size-nm", "-1"], "--pixel-size-nm -1 is not above 0"),
        (["--bundle", "nowhere"], "nowhere"),
    ],
)
def test_what_can_not_be_predicted_is_said_before_anything_is_written(
    movie: Path, bundle: Bundle, tmp_path: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _predict(movie, bundle, tmp_path / "out", *arguments) == 1
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_frames_that_are_larger_than_any_frame_may_be_are_refused(bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (tmp_path / "huge.npy").open("wb") as out:
        np.lib.format.write_array_header_1_0(out, {"shape": (9000, 9000), "fortran_order": False, "descr": "|u1"})
        out.truncate(out.tell() + 9000 * 9000)

    for command in (["predict", str(tmp_path / "huge.npy"), "--out", str(tmp_path / "out")], ["replay", str(tmp_path / "huge.npy")]):
        assert main(command) == 1
        assert "huge.npy: frames of 9000x9000 pixels are larger" in capsys.readouterr().err


def test_two_runs_do_not_write_into_the_same_folder(bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "movie.npy", np.stack([dots((64, 64), CENTRES)] * 3000))
    running = _run(tmp_path / "movie.npy", bundle, tmp_path / "out")
    try:
        deadline = time.monotonic() + 60
        while _committed(tmp_path / "out" / "result.h5") == 0:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert _predict(tmp_path / "movie.npy", bundle, tmp_path / "out", "--maps") == 1
    finally:
        running.kill()
        running.wait()
    assert "another process is writing into" in capsys.readouterr().err
