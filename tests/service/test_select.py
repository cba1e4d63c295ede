from __future__ import annotations

import argparse
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atomstream_models.bundle import find_bundle, open_bundle
from atomstream_models.errors import InputError
from atomstream_models.runtime import accept, load_ensemble
from atomstream_models.simulation import SimulatedMicroscope
from atomstream_service.cli import _select


@pytest.fixture(scope="module")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    microscope = SimulatedMicroscope(5, (160, 192))
    file = tmp_path_factory.mktemp("movie") / "movie.npz"
    np.savez(file, images=np.stack([microscope.next_frame().image for _ in range(3)]), pixel_size_nm=0.0104)
    return file


def select(*arguments: str | Path) -> int:
    parser = argparse.ArgumentParser()
    _select.add(parser.add_subparsers())
    given = parser.parse_args(["select", *map(str, arguments)])
    return int(given.run(given))


def report(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_without_a_choice_members_are_ranked_and_drawn_but_nothing_is_written(
    movie: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert select(movie, "--frames", "0,2", "--figure", "members.png", "--json", "-") == 0
    found = report(capsys)

    assert found["frames"] == [0, 2]
    assert sorted(one["member"] for one in found["ranking"]) == [f"m{k:02d}" for k in range(8)]
    assert [one["artifact"] for one in found["ranking"]] == sorted(one["artifact"] for one in found["ranking"])
    assert (found["chosen"], found["written"]) == (None, None)
    assert [path.name for path in tmp_path.iterdir()] == ["members.png"]
    assert (tmp_path / "members.png").read_bytes().startswith(b"\x89PNG")


def test_named_members_become_a_bundle_that_works(movie: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "some.atomstream"
    assert select(movie, "--frames", "0", "--members", "m03, m01", "--out", out, "--version", "1.1", "--reason", "clean holes") == 0
    bundle = open_bundle(find_bundle(str(out), tmp_path))
    accept(load_ensemble(bundle, "cpu"))
    selection = bundle.card.selection
    assert selection is not None

    assert (bundle.card.version, bundle.card.member_ids) == ("1.1", ("m01", "m03"))
    assert (selection["reason"], selection["frames"]) == ("clean holes", "movie.npz: 0")
    assert "m01, m03" in capsys.readouterr().out


def test_the_best_few_become_a_folder(movie: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert select(movie, "--frames", "1", "--best", "2", "--out", tmp_path / "folder", "--json", "-") == 0
    found = report(capsys)

    assert found["chosen"] == [one["member"] for one in found["ranking"][:2]]
    assert set(open_bundle(tmp_path / "folder").card.member_ids) == set(found["chosen"])


@pytest.mark.parametrize(("typed", "kept"), [("m02\n", ("m02",)), ("m99\nm00 m04\n", ("m00", "m04")), ("q\n", ()), ("", ())])
def test_the_terminal_is_asked_until_it_names_members(
    typed: str, kept: tuple[str, ...], movie: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    assert select(movie, "--frames", "0", "--interactive", "--out", tmp_path / "folder", "--json", "-") == 0
    found = report(capsys)

    assert tuple(found["chosen"] or ()) == kept
    assert (tmp_path / "folder").exists() == bool(kept)


def test_enter_takes_the_suggestion(movie: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    select(movie, "--frames", "0", "--interactive", "--out", tmp_path / "folder", "--json", "-")
    found = report(capsys)

    assert found["chosen"] == found["suggested"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--members", "m00,m42"], "m42"),
        (["--members", ","], "nothing"),
        (["--frames", "7"], "no frame 7"),
        (["--best", "9"], "best 9 of 8"),
        (["--pixel-size-nm", "0"], "--pixel-size-nm 0"),
        (["--expected-neighbour-nm", "-1"], "--expected-neighbour-nm -1"),
        (["--figure", "nowhere/a.png"], "no folder nowhere"),
        (["--frames", ""], "--frames"),
        (["--out", "x"], "--out is about the chosen"),
        (["--reason", "clean"], "--reason is about the chosen"),
        (["--version", "2"], "--version is about the chosen"),
        (["--best", "1", "--out", "a.png", "--figure", "a.png"], "two outputs"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(arguments: list[str], named: str, movie: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=named):
        select(movie, "--frames", "0", *arguments)


def test_a_bundle_that_is_there_is_not_overwritten(movie: Path, tmp_path: Path) -> None:
    out = tmp_path / "some.atomstream"
    out.write_bytes(b"mine")
    with pytest.raises(InputError, match="is there already"):
        select(movie, "--best", "1", "--out", out)
    assert out.read_bytes() == b"mine"


def test_a_figure_takes_the_place_of_an_older_one_and_of_nothing_else(movie: Path, tmp_path: Path) -> None:
    before = movie.read_bytes()
    (tmp_path / "atoms.csv").write_text("mine")
    (tmp_path / "old.png").write_text("old")

    for flag, file in (("--figure", movie), ("--json", tmp_path / "atoms.csv")):
        with pytest.raises(InputError, match=f"{file.name} is "):
            select(movie, "--frames", "0", flag, file)
    assert select(movie, "--frames", "0", "--figure", tmp_path / "old.png") == 0
    assert movie.read_bytes() == before
    assert (tmp_path / "atoms.csv").read_text() == "mine"
    assert (tmp_path / "old.png").read_bytes().startswith(b"\x89PNG")


def test_a_zip_is_a_file_and_nothing_is_written_into_another_bundle(movie: Path, tmp_path: Path) -> None:
    assert select(movie, "--frames", "0", "--best", "1", "--out", tmp_path / "some.zip") == 0
    bundle = open_bundle(find_bundle(str(tmp_path / "some.zip"), tmp_path))
    assert len(bundle.card.member_ids) == 1
    with pytest.raises(InputError, match="lies in the bundle"):
        select(movie, "--frames", "0", "--best", "1", "--out", bundle.folder / "inner")


def test_a_missing_pixel_size_is_said_once_with_what_the_ensemble_knows(movie: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with np.load(movie) as file:
        np.save(tmp_path / "bare.npy", file["images"])
    said = "bare.npy does not tell its pixel size: frames are taken as they are; give --pixel-size-nm (the ensemble knows 0.0075 to 0.016 nm)"

    assert select(tmp_path / "bare.npy", "--frames", "0") == 0
    assert capsys.readouterr().err.count(said) == 1
    assert select(tmp_path / "bare.npy", "--frames", "0", "--pixel-size-nm", "0.0104") == 0
    assert select(movie, "--frames", "0") == 0
    assert "pixel size" not in capsys.readouterr().err


def test_the_table_stands_whole_in_80_columns(movie: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert select(movie, "--frames", "0") == 0
    lines = capsys.readouterr().out.splitlines()

    assert any({"artifact", "spacing", "atoms"} <= set(line.split()) for line in lines)
    assert max(map(len, lines)) <= 80


def test_a_distance_without_a_pixel_size_is_refused(movie: Path, tmp_path: Path) -> None:
    with np.load(movie) as file:
        np.save(tmp_path / "bare.npy", file["images"])
    with pytest.raises(InputError, match="--pixel-size-nm"):
        select(tmp_path / "bare.npy", "--expected-neighbour-nm", "0.142")


def test_a_frame_that_is_refused_is_left_out_by_number(movie: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with np.load(movie) as file:
        images = file["images"].astype(np.float32)
    images[1, 5, 7] = np.nan
    np.save(tmp_path / "holed.npy", images)
    assert select(tmp_path / "holed.npy", "--json", "-") == 0
    printed = capsys.readouterr()

    assert json.loads(printed.out)["frames"] == [0, 2]
    assert "frame 1 is left out" in printed.err
