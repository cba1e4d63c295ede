from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import dots, make_plain_bundle

from atomstream_models.bundle import Bundle, diff_cards, open_bundle, unpack
from atomstream_service.cli import main


def _rewrite_card(folder: Path, **changes: object) -> None:
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**card, **changes}))


def test_a_packed_bundle_is_checked_run_and_equal_to_its_folder(plain_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    packed = tmp_path / "plain-1.atomstream"

    assert main(["bundle", "pack", str(plain_bundle.folder), str(packed)]) == 0
    assert main(["bundle", "check", str(packed), "--run"]) == 0
    assert "golden frames give" in capsys.readouterr().out
    assert main(["bundle", "diff", str(plain_bundle.folder), str(packed)]) == 0
    (tmp_path / "back").mkdir()
    unpack(packed, tmp_path / "back")
    assert open_bundle(tmp_path / "back").sha256 == plain_bundle.sha256


def test_packing_never_overwrites_unasked_and_leaves_nothing_unfinished(plain_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    out.mkdir()
    packed = out / "plain.atomstream"
    packed.write_text("mine")

    assert main(["bundle", "pack", str(plain_bundle.folder), str(packed)]) == 1
    assert "--force" in capsys.readouterr().err
    assert packed.read_text() == "mine"
    assert main(["bundle", "pack", str(plain_bundle.folder), str(packed), "--force"]) == 0
    assert list(out.iterdir()) == [packed]


@pytest.mark.parametrize(
    ("folder", "out", "named"),
    [
        ("none", "a.atomstream", "none is not a folder"),
        ("plain/bundle", "a.zip", "does not end in .atomstream"),
        ("plain/bundle", "plain/bundle/a.atomstream", "lies in"),
    ],
)
def test_packing_refuses_what_makes_no_bundle(
    plain_bundle: Bundle, tmp_path: Path, folder: str, out: str, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bundle", "pack", str(tmp_path / folder), str(tmp_path / out)]) == 1
    assert named in capsys.readouterr().err


def test_a_file_that_the_card_does_not_name_is_not_packed_along(plain_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (plain_bundle.folder / "notes.txt").write_text("x")

    assert main(["bundle", "pack", str(plain_bundle.folder), str(tmp_path / "a.atomstream")]) == 1
    assert "notes.txt" in capsys.readouterr().err


def test_checking_fails_for_a_damaged_member_and_for_golden_frames_that_differ(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damaged = make_plain_bundle(tmp_path / "a")
    damaged.member_path("m00").write_bytes(b"junk")
    other = make_plain_bundle(tmp_path / "b", threshold=0.999)

    assert main(["bundle", "check", str(damaged.folder)]) == 1
    assert "m00.onnx" in capsys.readouterr().err
    assert main(["bundle", "check", str(other.folder)]) == 0
    assert main(["bundle", "check", str(other.folder), "--run"]) == 1
    assert "atoms found" in capsys.readouterr().err


def test_diff_says_which_members_are_equal_added_removed_and_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = make_plain_bundle(tmp_path / "a", (-1.0, -1.5))
    after = make_plain_bundle(tmp_path / "b", (-1.0, -1.2, -1.4), license="BSD")

    assert main(["bundle", "diff", str(before.folder), str(after.folder), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["same"] is False
    assert {one["key"]: one["kind"] for one in found["members"]} == {"members.m00": "equal", "members.m01": "changed", "members.m02": "added"}
    assert [one for one in found["card"] if one["key"] == "license"] == [{"key": "license", "kind": "changed", "before": "MIT", "after": "BSD"}]
    back = diff_cards(after.card, before.card)
    assert {one.key: one.kind for one in back.members}["members.m02"] == "removed"


def test_diff_goes_down_into_nested_keys_and_keys_of_a_later_version(tmp_path: Path) -> None:
    before, after = make_plain_bundle(tmp_path / "a"), make_plain_bundle(tmp_path / "b")
    _rewrite_card(before.folder, training={"config": {"seed": 1, "rate": 0.1}})
    _rewrite_card(after.folder, training={"config": {"seed": 2, "rate": 0.1}}, selection={"members": ["m00"]})
    found = diff_cards(open_bundle(before.folder).card, open_bundle(after.folder).card)

    assert {(one.key, one.kind) for one in found.card} == {("training.config.seed", "changed"), ("selection.members", "added")}
    assert not found.same
    assert diff_cards(before.card, before.card).same


def test_print_shows_a_readable_card_and_the_card_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bundle", "print", "graphene"]) == 0
    shown = capsys.readouterr().out
    assert "quarter-unet filters=32" in shown
    assert "host, impurity" in shown
    assert main(["bundle", "print", "graphene", "--json"]) == 0
    card = json.loads(capsys.readouterr().out)
    assert card["schema"] == "atomstream.bundle.v1"
    assert len(card["members"]) == 8


@pytest.mark.parametrize("command", [["bundle", "print"], ["bundle", "check"], ["bundle", "diff", "graphene"]])
def test_a_bundle_that_is_not_there_is_named(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "nowhere"]) == 1
    assert "'nowhere'" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["movie.npz", "movie.csv"])
def test_a_file_that_is_no_bundle_is_named_as_it_was_given(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "movie.npz", images=np.zeros((1, 9, 9)))
    (tmp_path / "movie.csv").write_text("y,x\n")

    assert main(["bundle", "check", str(tmp_path / name)]) == 1
    said = capsys.readouterr().err
    assert name in said
    assert "bundles/" not in said


def test_the_folder_around_a_bundle_leads_to_the_bundle(plain_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["check", str(tmp_path / "plain")], ["pack", str(tmp_path / "plain"), str(tmp_path / "a.atomstream")]):
        assert main(["bundle", *command]) == 1
        assert f"did you mean {plain_bundle.folder}?" in capsys.readouterr().err


def _movie(folder: Path, frames: int = 3) -> Path:
    centres = [(20.0, 20.0), (20.0, 40.0), (40.0, 30.0)]
    np.savez(folder / "movie.npz", images=np.array([dots((56, 64), centres) for _ in range(frames)]), pixel_size_nm=0.02)
    (folder / "truth.csv").write_text("frame,y,x\n" + "".join(f"{k},{y},{x}\n" for k in range(frames) for y, x in [*centres, (45.0, 55.0)]))
    return folder / "movie.npz"


def test_evaluate_scores_frames_against_a_truth_and_writes_a_report(plain_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = make_plain_bundle(tmp_path / "before", (-4.0, -5.5, -6.1))
    arguments = [str(_movie(tmp_path)), "--bundle", str(plain_bundle.folder), "--before", str(before.folder), "--truth", str(tmp_path / "truth.csv")]
    code = main(["evaluate", *arguments, "--frames", "0-1", "--json", str(tmp_path / "f.json"), "--out", str(tmp_path / "r.html")])
    figures = json.loads((tmp_path / "f.json").read_text())

    assert code == 0
    assert [one["frame"] for one in figures["ensemble"]["frames"]] == [0, 1]
    assert figures["ensemble"]["overall"]["recall"] == pytest.approx(0.75)
    assert figures["ensemble"]["overall"]["precision"] == 1.0
    assert figures["ensemble"]["overall"]["rmse_px"] < 0.2
    assert figures["before"]["overall"]["recall"] <= 0.75
    assert "recall" in capsys.readouterr().out
    html = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "Mean maps, before and after" in html
    assert "The ensemble before" in html


def test_evaluate_without_a_truth_prints_json_alone_on_the_standard_output(plain_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(_movie(tmp_path)), "--bundle", str(plain_bundle.folder), "--members", "m01", "--json", "-"]) == 0
    figures = json.loads(capsys.readouterr().out)

    assert figures["ensemble"]["members"] == ["m01"]
    assert figures["ensemble"]["overall"] is None
    assert [one["atoms"] for one in figures["ensemble"]["frames"]] == [3, 3, 3]
    assert figures["match_px"] is None


def test_a_frame_that_can_not_be_evaluated_is_left_out_by_name(plain_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = np.array([dots((56, 64), [(20.0, 20.0)])] * 3)
    images[1, 5, 6] = np.nan
    np.save(tmp_path / "movie.npy", images)

    assert main(["evaluate", str(tmp_path / "movie.npy"), "--bundle", str(plain_bundle.folder), "--json", str(tmp_path / "f.json")]) == 0
    figures = json.loads((tmp_path / "f.json").read_text())
    assert [one["frame"] for one in figures["ensemble"]["frames"]] == [0, 2]
    assert "row 5, column 6" in figures["left_out"][0]["why"]
    assert "frame 1 is left out" in capsys.readouterr().out
    np.save(tmp_path / "bad.npy", images[1:2])
    assert main(["evaluate", str(tmp_path / "bad.npy"), "--bundle", str(plain_bundle.folder)]) == 1
    assert "no frame can be evaluated" in capsys.readouterr().err


def test_frames_with_rows_without_data_are_evaluated_and_nothing_is_found_on_those_rows(plain_bundle: Bundle, tmp_path: Path) -> None:
    centres = [(20.0, 20.0), (20.0, 40.0), (40.0, 30.0)]
    cut, dead = dots((64, 64), centres), dots((64, 64), centres)
    cut[50:], dead[52] = np.nan, 4.0
    np.save(tmp_path / "movie.npy", np.stack([cut, dead]))
    (tmp_path / "truth.csv").write_text("frame,y,x\n" + "".join(f"{k},{y},{x}\n" for k in range(2) for y, x in centres))
    arguments = [str(tmp_path / "movie.npy"), "--bundle", str(plain_bundle.folder), "--truth", str(tmp_path / "truth.csv")]

    assert main(["evaluate", *arguments, "--json", str(tmp_path / "f.json"), "--out", str(tmp_path / "r.html")]) == 0
    figures = json.loads((tmp_path / "f.json").read_text())
    assert [(one["atoms"], "rows_missing" in one["flags"]) for one in figures["ensemble"]["frames"]] == [(3, True), (3, True)]
    assert (figures["log"]["precision"], figures["log"]["recall"]) == (1.0, 1.0)


def test_a_frame_without_any_data_has_no_atoms_and_figures_that_are_unknown(plain_bundle: Bundle, tmp_path: Path) -> None:
    np.save(tmp_path / "blank.npy", np.full((1, 64, 64), np.nan))
    (tmp_path / "truth.csv").write_text("y,x\n20,20\n20,40\n")
    arguments = [str(tmp_path / "blank.npy"), "--bundle", str(plain_bundle.folder), "--truth", str(tmp_path / "truth.csv")]

    assert main(["evaluate", *arguments, "--json", str(tmp_path / "f.json")]) == 0
    figures = json.loads((tmp_path / "f.json").read_text())
    assert figures["log"] == {"f1": 0.0, "precision": None, "recall": 0.0, "rmse_px": None}


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--frames", "0,9"], "there is no frame 9"),
        (["--frames", "2-1"], "'2-1'"),
        (["--frames", "a"], "'a'"),
        (["--frames", ""], "--frames"),
        (["--frames", "0", "--show", "1-2"], "--show: frame 1, 2 is not among those judged"),
        (["--show", "3"], "--show: there is no frame 3"),
        (["--members", "m00,m77"], "no member m77; it has m00, m01"),
        (["--members", ","], "names no member"),
        (["--pixel-size-nm", "-1"], "--pixel-size-nm -1"),
        (["--match-px", "nan"], "--match-px nan"),
        (["--out", "nowhere/r.html"], "no folder nowhere"),
        (["--json", "nowhere/r.json"], "no folder nowhere"),
        (["--truth", "none.csv"], "none.csv"),
    ],
)
def test_evaluate_names_what_is_wrong_with_its_flags(
    plain_bundle: Bundle, tmp_path: Path, flags: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(_movie(tmp_path)), "--bundle", str(plain_bundle.folder), *flags]) == 1
    assert named in capsys.readouterr().err


def test_evaluate_overwrites_older_outputs_only(plain_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    movie, truth = _movie(tmp_path), tmp_path / "truth.csv"
    (tmp_path / "old.json").write_text("old")
    arguments = ["evaluate", str(movie), "--bundle", str(plain_bundle.folder), "--truth", str(truth)]
    kept = {file: file.read_bytes() for file in (movie, truth, plain_bundle.folder / "card.json")}

    for file in kept:
        for flag in ("--out", "--json"):
            assert main([*arguments, flag, str(file)]) == 1
            assert file.name in capsys.readouterr().err
    assert main([*arguments, "--json", str(tmp_path / "old.json")]) == 0
    assert "ensemble" in json.loads((tmp_path / "old.json").read_text())
    assert {file: file.read_bytes() for file in kept} == kept


def test_a_disk_without_room_is_named(plain_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(_movie(tmp_path)), "--bundle", str(plain_bundle.folder), "--json", "/dev/full"]) == 1
    assert "/dev/full can't be written: No space left" in capsys.readouterr().err


def test_evaluate_says_within_what_and_on_how_many_frames_it_matched(plain_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["evaluate", str(_movie(tmp_path)), "--bundle", str(plain_bundle.folder), "--truth", str(tmp_path / "one.csv")]
    (tmp_path / "one.csv").write_text("y,x\n20,20\n")

    assert main(arguments) == 1
    assert "give one in pixels (--match-px)" in capsys.readouterr().err
    assert main([*arguments, "--match-px", "2.5"]) == 0
    assert "matched within 2.5 px, on 1 of 3 frames" in capsys.readouterr().out


def test_blank_frames_are_counted_and_a_truth_that_is_no_npz_is_called_so(plain_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "const.npz", images=np.ones((2, 64, 64)))
    (tmp_path / "truth.npz").write_text("y,x")
    arguments = ["evaluate", str(tmp_path / "const.npz"), "--bundle", str(plain_bundle.folder)]

    assert main([*arguments, "--out", str(tmp_path / "r.html")]) == 0
    assert ["blank", "frames", "2", "–"] in [line.split() for line in capsys.readouterr().out.splitlines()]
    html = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "0 members" not in html
    assert "every frame is blank" in html
    assert main([*arguments, "--truth", str(tmp_path / "truth.npz")]) == 1
    assert "truth.npz is not an .npz file" in capsys.readouterr().err


@pytest.mark.parametrize(("frame", "named"), [(7, "labels frame 7"), (2, "labels none of the frames")])
def test_a_truth_about_other_frames_is_refused(plain_bundle: Bundle, tmp_path: Path, frame: int, named: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.csv").write_text(f"frame,y,x\n{frame},1,2\n{frame},1,9\n")
    arguments = ["evaluate", str(_movie(tmp_path)), "--bundle", str(plain_bundle.folder), "--truth", str(tmp_path / "t.csv"), "--frames", "0"]

    assert main(arguments) == 1
    assert named in capsys.readouterr().err


def test_neither_command_imports_torch_or_draws_before_it_must() -> None:
    program = "import sys\nfrom atomstream_service.cli import _bundle, _evaluate\nprint(sorted({'torch', 'matplotlib', 'jinja2'} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)

    assert run.stdout.strip() == "[]"


def test_a_golden_frame_that_changed_is_a_difference(plain_bundle: Bundle) -> None:
    changed = plain_bundle.card.model_copy(update={"golden": plain_bundle.card.golden[:1]})
    found = diff_cards(plain_bundle.card, changed)

    assert [one.kind for one in found.golden] == ["equal", "removed"]
    assert not found.same
