from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pytest
from conftest import make_plain_bundle

from atomstream_models.bundle import Bundle, BundleError
from atomstream_models.runtime import EXACT, FAST, GoldenMatch, Loader, LoadError, Races, Tolerance, Tried, _accept, _loader, _openvino, load_ensemble
from atomstream_models.runtime._openvino import openvino_ways
from atomstream_models.runtime._ways import Way

NOISE = np.random.default_rng(1).standard_normal((1, 1, 64, 96), np.float32)
needs_bfloat16 = pytest.mark.skipif(len(openvino_ways(fast=True)[0]) < 2, reason="this processor does not compute with bfloat16")


def test_by_itself_the_fastest_way_is_taken_and_what_was_measured_is_told(graphene: Bundle) -> None:
    ensemble = Loader("cpu", shapes=[(64, 64)]).load(graphene)
    choice = ensemble.choice

    assert choice is not None
    assert [one.way.name for one in choice.tried] in (["onnxruntime", "openvino"], ["openvino", "onnxruntime"])
    times = [one.ms for one in choice.tried if one.ms is not None]
    assert times == sorted(times)
    assert len(times) == 2
    assert ensemble.way == choice.tried[0].way
    assert choice.as_json()["shape"] == [64, 64]


def test_openvino_gives_the_exact_answers_of_onnx_runtime(graphene: Bundle) -> None:
    one = load_ensemble(graphene, "cpu").run(NOISE, graphene.card.member_ids)
    other = Loader("cpu", runtime="openvino").load(graphene)

    assert (other.device, other.way.name, other.way.bits) == ("cpu", "openvino", "float32")
    np.testing.assert_allclose(np.stack(other.run(NOISE, graphene.card.member_ids)), np.stack(one), atol=1e-5)


def _bfloat16_ahead(bundle: Bundle) -> Races:
    """A race that bfloat16 has won, as it does unless other programs disturb it."""
    races = Races()
    races.add(bundle, (512, 512), [Tried(way, 10.0 if way.bits == "bfloat16" else 20.0) for way in openvino_ways(fast=True)[0]])
    return races


@needs_bfloat16
def test_fast_answers_are_close_to_the_exact_ones_and_not_the_same(graphene: Bundle) -> None:
    exact = np.stack(load_ensemble(graphene, "cpu").run(NOISE, graphene.card.member_ids))
    fast = Loader("cpu", runtime="openvino", precision="fast", races=_bfloat16_ahead(graphene)).load(graphene)
    got = np.stack(fast.run(NOISE, graphene.card.member_ids))

    assert fast.way.bits == "bfloat16"
    assert 0 < np.abs(got - exact).max() < 0.05
    assert np.abs(got.std(axis=0) - exact.std(axis=0)).mean() < 1e-3


@needs_bfloat16
def test_fast_answers_that_are_not_good_enough_on_the_golden_frames_are_not_taken(graphene: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_accept, "FAST", Tolerance(1e-9, 1e-9, 1e-9, 1e-9))
    ensemble = Loader("cpu", runtime="openvino", precision="fast", races=_bfloat16_ahead(graphene)).load(graphene)

    assert ensemble.way.bits == "float32"
    assert ensemble.choice is not None
    refused = next(one for one in ensemble.choice.tried if one.way.bits == "bfloat16")
    assert "is off by" in (refused.complaint or "")


def test_a_bundle_that_no_way_answers_as_its_maker_did_is_refused(tmp_path: Path) -> None:
    bundle = make_plain_bundle(tmp_path / "one", biases=(-1.0, 0.0))
    other = make_plain_bundle(tmp_path / "other", biases=(-1.0, 0.5))
    bundle.member_path("m01").write_bytes(other.member_path("m01").read_bytes())

    with pytest.raises(BundleError, match="is off by"):
        Loader("cpu").load(bundle)


def test_where_openvino_is_not_installed_it_is_left_out_or_refused_by_name(plain_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(_openvino, "version", missing)
    ensemble = Loader("cpu").load(plain_bundle)

    assert ensemble.way.name == "onnxruntime"
    assert ensemble.choice is not None
    assert "extra `openvino`" in (ensemble.choice.left_out or "")
    with pytest.raises(LoadError, match="openvino was asked for, but openvino is not installed"):
        Loader("cpu", runtime="openvino").load(plain_bundle)


def test_a_way_that_can_not_run_the_members_is_passed_over_and_says_why(plain_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(files: object, threads: object) -> None:
        raise LoadError("it knows no such operator")

    broken = Way("openvino", "openvino 0", "float32", refuse)  # type: ignore[arg-type]
    monkeypatch.setattr(_loader, "openvino_ways", lambda fast: ([broken], None))
    ensemble = Loader("cpu").load(plain_bundle)

    assert ensemble.way.name == "onnxruntime"
    assert ensemble.choice is not None
    assert [(one.way.name, one.complaint) for one in ensemble.choice.tried] == [("onnxruntime", None), ("openvino", "it knows no such operator")]


def test_ensembles_of_the_same_networks_are_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[str] = []
    race = _loader._race

    def counted(ways: list[Way], bundle: Bundle, *rest: object) -> object:
        measured.append(bundle.card.name)
        return race(ways, bundle, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(_loader, "_race", counted)
    loader = Loader("cpu", shapes=[(64, 64)])
    first = loader.load(make_plain_bundle(tmp_path / "one", biases=(-1.0, 0.0)))
    second = loader.load(make_plain_bundle(tmp_path / "two", biases=(-2.0, 0.0)))

    assert len(measured) == 1
    assert str(first.way) == str(second.way)


def test_a_race_that_is_told_of_is_not_run_again_unless_there_are_other_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = make_plain_bundle(tmp_path, biases=(-1.0, 0.0))
    before = Loader("cpu", shapes=[(64, 64)])
    first = before.load(bundle)
    told = json.loads(json.dumps([*before.races.as_json(), {"no": "race"}]))

    again = Loader("cpu", shapes=[(64, 64)], races=Races(told)).load(bundle)
    assert first.choice is not None
    assert again.choice is not None
    assert [one.ms for one in again.choice.tried] == [one.ms for one in first.choice.tried]

    ways = openvino_ways(fast=False)[0]
    monkeypatch.setattr(_loader, "openvino_ways", lambda fast: ([replace(ways[0], runtime="OpenVINO of tomorrow")], None))
    anew = Loader("cpu", shapes=[(64, 64)], races=Races(told)).load(bundle)
    assert anew.choice is not None
    assert {one.way.runtime for one in anew.choice.tried} == {first.choice.tried[0].way.runtime, first.choice.tried[1].way.runtime, "OpenVINO of tomorrow"} - {
        ways[0].runtime
    }


def test_half_the_bits_may_lose_one_atom_at_the_threshold_of_a_small_frame_and_no_more() -> None:
    def found(atoms: int) -> GoldenMatch:
        return GoldenMatch("golden/00.npz", 0.0, 0.0, 0.0, 0.0, std_missing=False, atoms=atoms, wanted=67)

    assert found(66).complaint(FAST) is None
    assert found(65).complaint(FAST) == "golden/00.npz: 65 atoms found, the bundle's maker found 67"
    assert found(66).complaint(EXACT) is not None


def test_openvino_is_not_even_imported_where_onnx_runtime_is_asked_for() -> None:
    script = "import sys\nfrom atomstream_models.runtime import ways_here\nways_here('cpu', 'onnxruntime', 'fast')\nsys.exit('openvino' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_openvino_tells_nobody_that_it_is_used(tmp_path: Path) -> None:
    asked = "import sys; from atomstream_models.runtime._openvino import openvino_ways; openvino_ways(fast=False); print(sys.modules['openvino_telemetry'])"
    told = subprocess.run([sys.executable, "-c", asked], check=True, capture_output=True, text=True, env={**os.environ, "HOME": str(tmp_path)}).stdout
    assert told == "None\n"
    assert not (tmp_path / "intel").exists()


def test_what_failed_once_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(files: object, threads: object) -> None:
        raise LoadError("no room just now")

    working = openvino_ways(fast=False)[0]
    monkeypatch.setattr(_loader, "openvino_ways", lambda fast: ([Way("openvino", working[0].runtime, "float32", refuse)], None))  # type: ignore[arg-type]
    loader = Loader("cpu", shapes=[(64, 64)])
    first = loader.load(make_plain_bundle(tmp_path / "one", biases=(-1.0, 0.0)))
    monkeypatch.setattr(_loader, "openvino_ways", lambda fast: (working, None))
    second = loader.load(make_plain_bundle(tmp_path / "two", biases=(-1.0, 0.0)))

    assert first.choice is not None
    assert second.choice is not None
    assert [one.complaint for one in first.choice.tried] == [None, "no room just now"]
    assert [one.complaint for one in second.choice.tried] == [None, None]
