from __future__ import annotations

from pathlib import Path

import pytest

from atomstream_models.errors import InputError
from atomstream_service.cli._outputs import check_apart, check_output, whole


def test_an_output_may_go_where_nothing_is_over_an_older_one_of_its_kind_and_into_a_device(tmp_path: Path) -> None:
    (tmp_path / "old.HTML").write_text("old")

    for file in (tmp_path / "new.html", tmp_path / "odd.name", tmp_path / "old.HTML", Path("/dev/null")):
        check_output(file, ".html", [tmp_path / "movie.npz"])


def test_an_output_that_would_destroy_something_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "movie.json").write_text("an input")
    (tmp_path / "link.json").symlink_to(tmp_path / "movie.json")
    (tmp_path / "hard.json").hardlink_to(tmp_path / "movie.json")
    (tmp_path / "atoms.csv").write_text("mine")
    (tmp_path / "aim.json").symlink_to(tmp_path / "atoms.csv")
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "bundle" / "members").mkdir(parents=True)
    (tmp_path / "bundle" / "card.json").write_text("{}")
    refused = {
        "movie.json": "is read by",
        "link.json": "is read by",
        "hard.json": "is read by",
        "atoms.csv": "no .json file",
        "aim.json": "no .json file",
        "folder.json": "is a folder",
        "bundle/card.json": "lies in the bundle",
        "bundle/new.json": "lies in the bundle",
        "bundle/members/new.json": "lies in the bundle",
        "nowhere/a.json": "no folder",
    }

    for name, why in refused.items():
        with pytest.raises(InputError, match=why) as error:
            check_output(tmp_path / name, ".json", [tmp_path / "movie.json"])
        assert Path(name).name in str(error.value)


def test_two_outputs_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="two outputs"):
        check_apart([tmp_path / "a", tmp_path / "b" / ".." / "a"])


def test_a_disk_without_room_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="/dev/full can't be written: No space left on device"), whole(Path("/dev/full")) as file:
        file.write_text("x")


def test_what_was_there_stays_where_writing_fails(tmp_path: Path) -> None:
    def write_half() -> None:
        with whole(tmp_path / "a.json") as file:
            file.write_text("half")
            raise OSError("broken")

    (tmp_path / "a.json").write_text("old")

    with pytest.raises(InputError, match=r"a\.json can't be written: broken"):
        write_half()
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.json", "old")]
