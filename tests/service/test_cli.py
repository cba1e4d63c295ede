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
from atomstream_service.demo import free_endpoint, launched


def _run(*arguments: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "atomstream_service", *arguments], capture_output=True, text=True, timeout=timeout_s, check=False)


@pytest.mark.parametrize("command", [[], ["serve"], ["demo"], ["replay"], ["select"], ["evaluate"], ["bundle"], ["doctor"]])
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
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        run = _run("serve", "--state", str(tmp_path), "--results", f"tcp://127.0.0.1:{port}", "--frames", f"tcp://{free_endpoint()}", "--http", free_endpoint())

    assert run.returncode == 1
    assert str(port) in run.stderr


def test_serve_gives_up_where_its_http_port_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        run = _run("serve", "--state", str(tmp_path), "--http", f"127.0.0.1:{taken.getsockname()[1]}")

    assert run.returncode == 1
    assert "can't listen" in run.stderr


def test_the_demo_runs_and_writes_its_figures(tmp_path: Path) -> None:
    run = _run("demo", "--headless", "--count", "6", "--seed", "4", "--json", str(tmp_path / "d.json"), "--report", str(tmp_path / "d.png"))
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
    with launched(tmp_path / "s") as service, ResultSubscriber(service.results, kinds=("atoms",)) as subscriber:
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

    for name in ("a.npy", "b.npz", "c.tif", "d.txt", "e.npy"):
        with pytest.raises(UnreadableFile, match=name.replace(".", r"\.")):
            read_movie(tmp_path / name)


@pytest.mark.parametrize("command", ["train", "refine", "import"])
def test_commands_that_need_torch_run_in_a_process_of_their_own_and_explain_themselves(command: str) -> None:
    done = _run(command, "--help")

    assert done.returncode == 0
    assert f"usage: atomstream {command}" in done.stdout


def test_what_a_training_command_refuses_is_refused_by_atomstream(tmp_path: Path) -> None:
    done = _run("train", "nowhere", "--out", str(tmp_path / "run"))

    assert done.returncode == 1
    assert "atomstream: 'nowhere' is neither a recipe (" in done.stderr
