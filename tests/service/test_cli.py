from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from conftest import REAL_FRAMES, real_frames

from atomstream_client import Atoms, ResultSubscriber
from atomstream_models.movies import UnreadableFile, read_movie
from atomstream_service.cli import main
from atomstream_service.demo import free_endpoints, launched


def _run(*arguments: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "atomstream_service", *arguments], capture_output=True, text=True, timeout=timeout_s, check=False)


@pytest.mark.parametrize("command", [[], ["serve"], ["demo"], ["replay"], ["select"], ["evaluate"], ["export"], ["bundle"], ["doctor"]])
def test_every_command_explains_itself(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([*command, "--help"])

    assert end.value.code == 0
    assert "usage: atomstream" in capsys.readouterr().out


def test_doctor_says_what_really_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)

    assert found["device"] == ("cuda" if "CUDAExecutionProvider" in found["providers"] else "cpu")
    assert "golden frames agree" in found["bundle"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["serve", "--bundle", "nowhere"], "'nowhere'"),
        (["serve", "--http", "0.0.0.0:80"], "not loopback"),
        (["serve", "--config", "none.toml"], "none.toml"),
        (["doctor", "--bundle", "nowhere"], "'nowhere'"),
        (["replay", "none.npz"], "none.npz"),
    ],
)
def test_a_command_that_fails_says_why_and_exits_with_an_error(arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 1
    assert named in capsys.readouterr().err


def test_serve_gives_up_where_its_results_port_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, free_endpoints(2) as (frames, http):
        port = taken.getsockname()[1]
        run = _run("serve", "--state", str(tmp_path), "--results", f"tcp://127.0.0.1:{port}", "--frames", f"tcp://{frames}", "--http", http)

    assert run.returncode == 1
    assert str(port) in run.stderr


def test_serve_gives_up_where_its_http_port_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        run = _run("serve", "--state", str(tmp_path), "--http", f"127.0.0.1:{taken.getsockname()[1]}")

    assert run.returncode == 1
    assert "can't listen" in run.stderr


@pytest.mark.parametrize("material", ["graphene", "perovskite"])
def test_the_demo_runs_and_writes_its_figures(tmp_path: Path, material: str) -> None:
    run = _run(
        "demo", "--material", material, "--headless", "--count", "6", "--seed", "4", "--json", str(tmp_path / "d.json"), "--report", str(tmp_path / "d.png")
    )
    figures = json.loads((tmp_path / "d.json").read_text())

    assert run.returncode == 0, run.stderr
    assert [one["frame"] for one in figures["frames"]] == list(range(6))
    assert min(one["f1"] for one in figures["frames"]) > 0.98
    assert max(one["rmse_px"] for one in figures["frames"]) < 1.0
    assert [len(one["members_used"]) for one in figures["frames"]] == [8, 8, 7, 7, 8, 8]
    picture = cv2.imread(str(tmp_path / "d.png"))
    assert picture is not None
    assert picture.shape[1] > 3 * 600
    assert "RMSE" not in run.stdout
    assert all(one["latency_ms"] > 0 for one in figures["frames"])


@real_frames
def test_a_real_movie_replayed_is_answered_and_its_silicon_atoms_are_found(tmp_path: Path) -> None:
    # A machine that is busy must not make the newest frame replace others.
    every_frame = '[[frames]]\npolicy = "queue"\n'
    with launched(tmp_path / "s", config=every_frame) as service, ResultSubscriber(service.results, kinds=("atoms",)) as subscriber:
        run = _run("replay", str(REAL_FRAMES / "graphene_si_movie.npz"), "--to", service.frames, "--fps", "4")
        answers = [subscriber.receive(30) for _ in range(12)]

    assert run.returncode == 0, run.stderr
    assert all(isinstance(answer, Atoms) for answer in answers)
    silicon = [int((answer.atoms[:, 2] == 1).sum()) for answer in answers if isinstance(answer, Atoms)]
    assert silicon.count(3) >= 10


def test_replay_reads_what_it_says_it_reads(tmp_path: Path) -> None:
    movie = np.arange(2 * 9 * 11, dtype=np.uint16).reshape(2, 9, 11)
    np.save(tmp_path / "a.npy", movie)
    np.savez(tmp_path / "b.npz", image=movie[0], pixel_size_nm=0.02)
    tifffile.imwrite(tmp_path / "c.tif", movie, photometric="minisblack")

    np.testing.assert_array_equal(read_movie(tmp_path / "a.npy")[0], movie)
    np.testing.assert_array_equal(read_movie(tmp_path / "c.tif")[0], movie)
    images, pixel_nm = read_movie(tmp_path / "b.npz")
    assert (images.shape, pixel_nm) == ((1, 9, 11), 0.02)


def test_replay_refuses_what_holds_no_frames(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(4))
    np.savez(tmp_path / "b.npz", spectrum=np.zeros(4))
    (tmp_path / "c.tif").write_bytes(b"II*\0junk")
    (tmp_path / "d.txt").write_text("x")
    np.save(tmp_path / "e.npy", np.array([{}], object), allow_pickle=True)
    (tmp_path / "f.npy").write_bytes(b"\x93NUMPY\x01\x00\x08\x00{'a': (\n")

    for name in ("a.npy", "b.npz", "c.tif", "d.txt", "e.npy", "f.npy"):
        with pytest.raises(UnreadableFile, match=name.replace(".", r"\.")):
            read_movie(tmp_path / name)


@pytest.mark.parametrize("size", [np.nan, -1.0, 0.0, np.inf, np.ones((2, 3)), "0.01"])
def test_a_pixel_size_that_is_none_is_refused_by_file_and_name(tmp_path: Path, size: object) -> None:
    np.savez(tmp_path / "a.npz", images=np.zeros((1, 9, 11)), pixel_size_nm=np.array(size))

    with pytest.raises(UnreadableFile, match=r"a\.npz: pixel_size_nm is"):
        read_movie(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("array", "named"),
    [
        (np.zeros((2, 9, 11), complex), "give the magnitude"),
        (np.full((2, 9, 11), "x"), "not of numbers"),
        (np.zeros((2, 9, 11), "datetime64[s]"), "not of numbers"),
        (np.zeros((25, 26, 3), np.uint8), "looks like colours"),
        (np.zeros((2, 25, 26, 4), np.uint8), "looks like colours"),
    ],
)
def test_an_array_that_is_no_frames_is_refused_by_what_it_is(tmp_path: Path, array: np.ndarray, named: str) -> None:
    np.save(tmp_path / "a.npy", array)

    with pytest.raises(UnreadableFile, match=rf"a\.npy holds .*{named}"):
        read_movie(tmp_path / "a.npy")


def test_boolean_frames_are_frames_of_zeros_and_ones(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.eye(9, dtype=bool))
    images, _ = read_movie(tmp_path / "a.npy")

    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images[0], np.eye(9))


def test_a_file_that_only_has_the_name_of_another_kind_is_called_so_and_named_once(tmp_path: Path) -> None:
    np.savez(tmp_path / "keys.npz", data=np.zeros(4))
    for name in ("text.npz", "text.npy"):
        (tmp_path / name).write_text("hello")
        with pytest.raises(UnreadableFile, match=f"is not an {name[-4:]} file") as refused:
            read_movie(tmp_path / name)
        assert "pickle" not in str(refused.value)
    with pytest.raises(UnreadableFile) as refused:
        read_movie(tmp_path / "keys.npz")
    assert str(refused.value).count("keys.npz") == 1


@pytest.mark.parametrize(
    ("unit", "resolution", "pixel_nm"),
    [
        ("nm", (96.0, 96.0), 1 / 96),
        ("micron", (40000.0, 40000.0), 0.025),
        (r"\u00B5m", (40000.0, 40000.0), 0.025),
        ("Angstrom", (5.0, 5.0), 0.02),
        ("nm", (96.0, 48.0), None),
        ("nm", None, None),
        ("inch", (96.0, 96.0), None),
        ("pixel", (2.0, 2.0), None),
    ],
)
def test_imagej_s_calibration_is_read_where_it_says_one_length(
    tmp_path: Path, unit: str, resolution: tuple[float, float] | None, pixel_nm: float | None
) -> None:
    movie = np.zeros((2, 9, 11), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", movie, imagej=True, resolution=resolution, metadata={"unit": unit, "axes": "TYX"})
    images, found = read_movie(tmp_path / "a.tif")

    assert images.shape == (2, 9, 11)
    assert found == (None if pixel_nm is None else pytest.approx(pixel_nm, rel=1e-6))


def test_the_demo_overwrites_nothing_of_another_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.csv").write_text("mine")

    assert main(["demo", "--headless", "--report", str(tmp_path / "mine.csv")]) == 1
    assert "mine.csv is there already and is no .png file" in capsys.readouterr().err
    assert (tmp_path / "mine.csv").read_text() == "mine"


@pytest.mark.parametrize("command", ["train", "refine", "import"])
def test_commands_that_need_torch_run_in_a_process_of_their_own_and_explain_themselves(command: str, capfd: pytest.CaptureFixture[str]) -> None:
    code = main([command, "--help"])

    assert code == 0
    assert f"usage: atomstream {command}" in capfd.readouterr().out


def test_what_a_training_command_refuses_is_refused_by_atomstream(tmp_path: Path) -> None:
    done = _run("train", "nowhere", "--out", str(tmp_path / "run"))

    assert done.returncode == 1
    assert "atomstream: 'nowhere' is neither a recipe (" in done.stderr


def test_an_interrupt_while_a_command_is_being_imported_ends_it_without_a_traceback() -> None:
    interrupted = (
        "import sys, atomstream_service.cli as cli\n"
        "class Interrupts:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'numpy': import signal; signal.raise_signal(signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupts())\n"
        "sys.exit(cli.main(['serve', '--help']))\n"
    )
    ended = subprocess.run([sys.executable, "-c", interrupted], check=False, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (130, "")
