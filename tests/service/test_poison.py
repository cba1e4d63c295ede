"""`atomstream demo --poison`: a copy of an ensemble with a member that is wrong, and the search for it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import IO

import numpy as np
import onnx
import pytest
from conftest import about, make_plain_bundle
from numpy.typing import NDArray
from onnx import TensorProto, helper
from waiting import until

from atomstream_client import ControlClient
from atomstream_models.bundle import Bundle, BundleError, MemberSource, open_bundle, shipped_bundles, write_bundle
from atomstream_models.errors import InputError
from atomstream_models.evaluation import MATCH
from atomstream_models.locate import locate
from atomstream_models.metrics import score
from atomstream_models.runtime import accept, load_ensemble, look
from atomstream_models.simulation import Material, MicroscopeFrame, SimulatedMicroscope, labelled
from atomstream_service.cli import main
from atomstream_service.demo import Change, Rule, Search, in_words, poisoned


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory, graphene: Bundle) -> tuple[Bundle, str]:
    return poisoned(graphene, tmp_path_factory.mktemp("poison") / "copy", seed=1)


def test_a_poisoned_copy_is_a_valid_bundle_that_says_what_it_is(copy: tuple[Bundle, str], graphene: Bundle) -> None:
    bundle, culprit = copy
    with contextlib.closing(load_ensemble(open_bundle(bundle.folder))) as ensemble:
        accept(ensemble)
    before = {entry.id: entry for entry in graphene.card.members}
    changed = [entry.id for entry in bundle.card.members if entry.sha256 != before[entry.id].sha256]

    assert (bundle.card.name, bundle.card.version, bundle.card.origin) == ("graphene-poisoned", graphene.card.version, "simulated")
    assert bundle.card.selection is None
    assert changed == [culprit] != [bundle.card.member_ids[0]]
    assert bundle.card.training["poisoned"]["member"] == culprit
    assert bundle.card.training["poisoned"]["parent"] == graphene.sha256
    assert [dict(entry.metrics) for entry in bundle.card.members if entry.id == culprit] == [{}]


def test_the_same_seed_poisons_the_same_member_in_the_same_way_and_others_choose_others(tmp_path: Path, copy: tuple[Bundle, str], graphene: Bundle) -> None:
    again, culprit = poisoned(graphene, tmp_path / "again", seed=1)
    plain = make_plain_bundle(tmp_path / "plain", biases=(-1.0, -1.5, -2.0, -2.5))
    chosen = {poisoned(plain, tmp_path / str(seed), seed)[1] for seed in range(12)}

    assert culprit == copy[1]
    assert again.card.model_copy(update={"created": ""}) == copy[0].card.model_copy(update={"created": ""})
    assert chosen == {"m01", "m02", "m03"}


def _f1(maps: Sequence[NDArray[np.float32]], frame: MicroscopeFrame, threshold: float) -> float:
    atoms = locate(np.mean(maps, axis=0, dtype=np.float32), None, (), threshold)
    return score(atoms[:, :2], frame.atoms_yx, MATCH * frame.neighbour_px, labelled(frame)).f1


@pytest.mark.parametrize(
    ("name", "material", "rule"), [("graphene", "graphene", "any"), ("perovskite", "perovskite", "all"), ("perovskite", "rock-salt", "all")]
)
def test_the_poisoned_member_is_the_worst_of_all_and_the_others_are_better_by_a_tenth_without_it(
    tmp_path: Path, name: str, material: Material, rule: Rule
) -> None:
    bundle, culprit = poisoned(open_bundle(shipped_bundles()[name]), tmp_path / "copy", seed=3, rule=rule)
    microscope = SimulatedMicroscope(3, (320, 320), material=material)
    frames = [microscope.next_frame() for _ in range(3)]
    threshold, bad = bundle.card.threshold, bundle.card.member_ids.index(culprit)
    with contextlib.closing(load_ensemble(bundle)) as ensemble:
        seen = [inferred.maps for inferred in look(ensemble, [frame.image for frame in frames], frames[0].pixel_nm)]
    pairs = list(zip(seen, frames, strict=True))
    own = [fmean(_f1([maps[k]], frame, threshold) for maps, frame in pairs) for k in range(len(bundle.card.members))]
    everyone = fmean(_f1(maps, frame, threshold) for maps, frame in pairs)
    others = fmean(_f1([one for k, one in enumerate(maps) if k != bad], frame, threshold) for maps, frame in pairs)

    assert own[bad] < 0.1
    assert min(one for k, one in enumerate(own) if k != bad) > 0.95
    assert others > 0.98
    assert others - everyone > 0.1


def test_what_can_not_be_poisoned_is_refused_by_what_is_wrong_with_it(tmp_path: Path) -> None:
    pair = make_plain_bundle(tmp_path / "pair")
    three = make_plain_bundle(tmp_path / "three", biases=(-1.0, -1.5, -2.0))
    graph = helper.make_graph(
        [helper.make_node("Sigmoid", ["frame"], ["probability"])],
        "member",
        [helper.make_tensor_value_info("frame", TensorProto.FLOAT, ["n", 1, "h", "w"])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["n", 1, "h", "w"])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(tmp_path / "m.onnx"))
    card = write_bundle(tmp_path / "bare", about(), [MemberSource(f"m{k}", tmp_path / "m.onnx") for k in range(3)])

    with pytest.raises(InputError, match="has 2 members"):
        poisoned(pair, tmp_path / "a")
    with pytest.raises(InputError, match="seed is -1"):
        poisoned(three, tmp_path / "b", -1)
    with pytest.raises(InputError, match="not an empty folder"):
        poisoned(three, three.folder)
    with pytest.raises(BundleError, match="no convolution on its frame"):
        poisoned(Bundle(tmp_path / "bare", card, ""), tmp_path / "c")


def _all_said(search: Search, frames: Sequence[tuple[tuple[str, ...], float]]) -> list[Change]:
    return [change for at, (members, f1) in enumerate(frames) if (change := search.frame(members, f1, float(at))) is not None]


def test_a_change_is_said_once_as_soon_as_three_frames_tell_what_it_did() -> None:
    frames = [(("a", "b", "c"), 0.75)] * 5 + [(("a", "c"), 1.0)] * 6
    (change,) = _all_said(Search(), frames)

    assert change == Change(after_s=5.0, out=("b",), back=(), members_used=("a", "c"), f1_before=0.75, f1_after=1.0)
    assert _all_said(Search(), frames[:7]) == []
    assert _all_said(Search(), frames[:8]) == [change]


def test_a_change_undone_at_once_is_said_too() -> None:
    frames = [(("a", "b"), 0.8)] * 4 + [(("a",), 0.9)] + [(("a", "b"), 0.8)] * 4

    assert [(change.out, change.back) for change in _all_said(Search(), frames)] == [(("b",), ()), ((), ("b",))]


def test_the_poisoned_member_is_named_only_once_it_is_out() -> None:
    found = in_words(Change(21.4, ("b", "d"), (), ("a", "c"), 0.8, 0.999), "b")
    wrong = in_words(Change(9.0, ("d",), (), ("a", "b", "c"), 0.8, 0.79), "b")
    restored = in_words(Change(9.0, (), ("d",), ("a", "b", "c", "d"), 0.79, 0.8), "b")
    back = in_words(Change(9.0, (), ("b",), ("a", "b"), 1.0, 0.8), "b")
    later = in_words(Change(9.0, ("c",), ("d",), ("a", "d"), 1.0, 1.0), "b")

    assert found == "b, d taken out: mean F1 0.800 before, 0.999 after. b was the poisoned one, found 21 s after the page was there; d may come back"
    assert wrong == "d taken out: mean F1 0.800 before, 0.790 after. F1 did not recover: the poisoned member still counts"
    assert restored == "d put back: mean F1 0.790 before, 0.800 after"
    assert back == "b put back: mean F1 1.000 before, 0.800 after. The poisoned member counts again"
    assert later == "c taken out and d put back: mean F1 1.000 before, 1.000 after"


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """A process started in here can be interrupted, also where the tests run in the background, which ignores interrupts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _lines_until(output: IO[str], wanted: str) -> list[str]:
    lines: list[str] = []
    for line in output:
        lines.append(line)
        if wanted in line:
            return lines
    raise AssertionError(f"{wanted!r} was never said: {lines}")


def test_who_takes_the_poisoned_member_out_is_told_so_and_an_interrupt_ends_the_demo_well(tmp_path: Path) -> None:
    arguments = ["--poison", "--seed", "1", "--count", "3", "--json", str(tmp_path / "d.json"), "--report", str(tmp_path / "d.png")]
    with _interruptible():
        command = [sys.executable, "-m", "atomstream_service", "demo", *arguments]
        demo = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    with demo:
        try:
            assert demo.stdout is not None
            started = _lines_until(demo.stdout, "frames go on")
            page = re.findall(r"open (http://\S+/) ", "".join(started))[0]
            control = ControlClient(page, actor="kim")
            drift = until(lambda: {one["id"]: one["drift"] for one in control.members()["members"]}, lambda all_: all(all_.values()))
            ratios = until(
                lambda: {one["id"]: one["drift"]["ratio"] for one in control.members()["members"]},
                lambda all_: max(all_.values()) > 10 * sorted(all_.values())[-2],
            )
            suspect = max(ratios, key=lambda member: ratios[member])
            control.set_member("m00", "disabled", "a guess")
            guessed = _lines_until(demo.stdout, "m00 taken out")
            control.choose_members([member for member in drift if member != suspect], "it sees atoms in the hexagons")
            found = _lines_until(demo.stdout, f"{suspect} taken out")
            os.killpg(demo.pid, signal.SIGINT)  # as Ctrl-C does, to all processes of the terminal
            ended, errors = demo.communicate(timeout=60)
        finally:
            demo.kill()
    figures = json.loads((tmp_path / "d.json").read_text())

    assert demo.returncode == 0, errors
    assert errors == ""
    assert ended.splitlines()[-1] == "ended"
    assert figures["poisoned"]["member"] == suspect
    assert suspect not in "".join(started)
    assert "F1 did not recover" in guessed[-1]
    assert f"{suspect} was the poisoned one, found" in found[-1]
    assert [one["frame"] for one in figures["frames"]] == [0, 1, 2]
    assert all(len(one["members_used"]) == 8 for one in figures["frames"])
    guess, find = figures["changes"]
    assert (guess["out"], guess["back"], find["out"], find["back"]) == (["m00"], [], [suspect], ["m00"])
    assert guess["f1_after"] < 0.9
    assert find["f1_before"] < 0.9
    assert find["f1_after"] > 0.98
    assert 0 < guess["after_s"] < find["after_s"]


@pytest.mark.parametrize(("flags", "named"), [(["--count", "0"], "--count is 0"), (["--seed", "-1"], "--seed is -1")])
@pytest.mark.parametrize("poison", [[], ["--poison"]])
def test_a_demo_that_can_not_be_is_refused_by_its_flag(
    poison: list[str], flags: list[str], named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", *poison, *flags, "--report", str(tmp_path / "d.png")]) == 1
    assert named in capsys.readouterr().err
