"""Files through a real service, and the same files through `atomstream predict`."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from microscope_files import write_ser, write_velox
from streaming import simulated_images
from waiting import until

from atomstream_client import Atoms, ResultSubscriber
from atomstream_models.recording import RecordedFrame, open_recording
from atomstream_service.cli import main
from atomstream_service.demo import Launched, launched
from atomstream_wire import ATOM_COLUMNS

PIXEL_NM = (0.0104, 0.0208)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    """With a runtime by name: which one is the fastest is measured, and may come out one way here and another way there."""
    with launched(tmp_path_factory.mktemp("service") / "state", config='runtime = "onnxruntime"\n') as running:
        yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same four frames, of 256x128 pixels that are not square, as two kinds of files."""
    made = tmp_path_factory.mktemp("files")
    images = np.stack([image.reshape(256, 128, 2).sum(axis=2) for image in simulated_images(4, (256, 256))]).astype("<u2")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("microscope_files.PIXEL_NM", PIXEL_NM)
        write_ser(made / "movie.ser", images)
        write_velox(made / "movie.emd", images)
    return made


def _predicted(file: Path, out: Path, runtime: str = "onnxruntime") -> list[RecordedFrame]:
    assert main(["predict", str(file), "--bundle", "graphene", "--out", str(out), "--maps", "--runtime", runtime]) == 0
    with open_recording(out / "result.h5") as recording:
        return list(recording)


@pytest.mark.parametrize("name", ["movie.ser", "movie.emd"])
def test_predict_finds_what_the_live_service_finds_in_the_same_file(service: Launched, folder: Path, tmp_path: Path, name: str) -> None:
    live: list[Atoms] = []
    with ResultSubscriber(service.results, kinds=("atoms", "error")) as results:
        time.sleep(0.3)
        assert main(["replay", str(folder / name), "--to", service.frames, "--fps", "1"]) == 0
        while len(live) < 4:
            answer = results.receive(60)
            assert isinstance(answer, Atoms)
            live.append(answer)
    found = _predicted(folder / name, tmp_path / "out")

    assert min(len(one.atoms) for one in found) > 20
    for one, answer in zip(found, live, strict=True):
        np.testing.assert_array_equal(one.atoms, answer.atoms)  # to the last digit
        assert one.report.flags == answer.report.flags
        assert one.report.members_used == answer.report.members_used
        assert one.report.pixel_size == answer.report.pixel_size == pytest.approx(PIXEL_NM)
        assert "rescaled" in one.report.flags


def test_another_runtime_finds_the_same_atoms_but_for_the_last_digits(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("openvino")
    found = [np.concatenate([one.atoms for one in _predicted(folder / "movie.ser", tmp_path / name, name)]) for name in ("onnxruntime", "openvino")]

    assert "atoms of 4 frames, by openvino" in capsys.readouterr().out
    one, other = (dict(zip(ATOM_COLUMNS, atoms.T, strict=True)) for atoms in found)
    for name, difference in {"y": 1e-4, "x": 1e-4, "class": 0, "p": 1e-6, "p_std": 1e-6, "votes": 0, "sigma_y": 1e-5, "sigma_x": 1e-5}.items():
        np.testing.assert_allclose(one[name], other[name], rtol=0, atol=difference, err_msg=name)


def test_a_watched_folder_is_a_source_of_the_live_service(service: Launched, folder: Path, tmp_path: Path) -> None:
    watched = tmp_path / "session"
    watched.mkdir()
    command = [sys.executable, "-m", "atomstream_service", "replay", "--watch", str(watched), "--to", service.frames, "--settle-s", "0.5", "--fps", "2"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert running.stdout is not None
        assert "watching" in running.stdout.readline()
        (watched / "scan.ser").write_bytes((folder / "movie.ser").read_bytes())
        streams = until(lambda: httpx.get(f"{service.url}/v1/status").json()["streams"], lambda streams: "files/session" in str(streams))
        latest = until(lambda: httpx.get(f"{service.url}/v1/frames/latest.json").json(), lambda one: one.get("source") == "files/session" and one["frame"] == 3)
    finally:
        running.send_signal(signal.SIGTERM)
        running.communicate(timeout=60)

    assert "files/session" in str(streams)
    assert latest["user"] == {"file": "scan.ser"}
    assert running.returncode == 0
