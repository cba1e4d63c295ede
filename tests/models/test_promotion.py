"""A better way takes over while frames are answered, here with the processor in the place of a GPU and its optimiser in the place of TensorRT."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, dots, make_plain_bundle
from host_device import CompilingHost, compiled_upgrade
from waiting import until

from atomstream_models.analysis import MemberFailed
from atomstream_models.bundle import Bundle
from atomstream_models.runtime import LoadedEnsemble, Loader, LoadError, Size, Upgrade, tensorrt_missing, tensorrt_upgrade
from atomstream_models.runtime._bound import MOST_SHAPES
from atomstream_models.runtime._compiled import CompiledMembers

SHAPE = (64, 96)
Devices = list[CompilingHost]
_PATIENCE_S = 240.0
"""Compilers let everything else on the machine go first."""


@pytest.fixture(autouse=True)
def _compilers_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The compilers of `host_device`, by the process that compiles."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"), prepend=":")


@pytest.fixture
def devices() -> Devices:
    return []


@pytest.fixture
def load(tmp_path: Path, devices: Devices) -> Iterator[Callable[..., LoadedEnsemble]]:
    """Loads a bundle with a better way."""
    loaded: list[LoadedEnsemble] = []

    def load(bundle: Bundle, shapes: list[tuple[int, int]] | None = None, folder: str = "compiled", **about: object) -> LoadedEnsemble:
        upgrade = compiled_upgrade(tmp_path / folder, devices, **about)  # type: ignore[arg-type]
        loaded.append(Loader("cpu", runtime="onnxruntime", shapes=[SHAPE] if shapes is None else shapes, upgrade=upgrade).load(bundle))
        return loaded[-1]

    yield load
    for one in loaded:
        one.close()


def _frame(shape: tuple[int, int] = SHAPE, seed: int = 0) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    noise = np.random.default_rng(seed).normal(0, 0.1, shape)
    return (dots(shape, [(20.0, 30.0), (40.0, 10.0)]) + noise).astype(np.float32)[None, None]


def _promoted(ensemble: LoadedEnsemble) -> list[Size]:
    """The size that was told of first, once it was."""
    told: list[Size] = []
    ensemble.promote(told.append)
    until(lambda: list(told), bool, _PATIENCE_S)
    return told


def _sizes(ensemble: LoadedEnsemble) -> dict[tuple[int, ...], str]:
    assert ensemble.promotion is not None
    return {tuple(one["shape"]): one["stage"] for one in ensemble.promotion.as_json()["sizes"]}


def test_frames_are_answered_at_once_and_in_the_better_way_once_that_is_ready(graphene: Bundle, load: Callable[..., LoadedEnsemble]) -> None:
    ensemble = load(graphene)
    ids = graphene.card.member_ids
    before = ensemble.answer(_frame(), ids)

    assert ensemble.answering == ensemble.way
    (size,) = _promoted(ensemble)
    after = ensemble.answer(_frame(), ids)

    assert (size.shape, size.stage, size.why) == (SHAPE, "ready", None)
    assert ensemble.answering.runtime == "onnxruntime, compiled"
    assert before.mean is None
    assert after.mean is not None
    np.testing.assert_allclose(np.stack(after.maps), np.stack(before.maps), atol=1e-5)
    assert set(ids) <= set(ensemble.last_ms)
    assert ensemble.at_once == 1


def test_members_are_still_left_out_and_several_devices_share_them(graphene: Bundle, load: Callable[..., LoadedEnsemble], devices: Devices) -> None:
    ensemble = load(graphene, count=3)
    some = [graphene.card.member_ids[k] for k in (6, 1, 2)]
    before = ensemble.answer(_frame(), some)
    _promoted(ensemble)
    after = ensemble.answer(_frame(), some)

    assert len(devices) == 3
    assert ensemble.answering != ensemble.way
    np.testing.assert_allclose(np.stack(after.maps), np.stack(before.maps), atol=1e-5)


def test_frames_of_other_sizes_stay_where_they_were_until_the_stream_has_shown_them_often(plain_bundle: Bundle, load: Callable[..., LoadedEnsemble]) -> None:
    ensemble = load(plain_bundle)
    _promoted(ensemble)
    other = _frame((56, 64))
    for _ in range(20):
        ensemble.answer(other, ["m00"])
        assert ensemble.answering == ensemble.way
    until(lambda: _sizes(ensemble), lambda sizes: sizes.get((56, 64)) == "ready")
    ensemble.answer(other, ["m00"])

    assert ensemble.answering != ensemble.way
    ensemble.answer(_frame(), ["m00"])
    assert ensemble.answering != ensemble.way


def test_no_more_sizes_are_built_than_sessions_are_kept_for(plain_bundle: Bundle, load: Callable[..., LoadedEnsemble], devices: Devices) -> None:
    shapes = [(64, 8 * k) for k in range(4, 4 + MOST_SHAPES + 2)]
    ensemble = load(plain_bundle, shapes)
    told: list[Size] = []
    ensemble.promote(told.append)
    until(lambda: list(told), lambda sizes: len(sizes) == MOST_SHAPES)
    for shape in shapes:
        ensemble.answer(_frame(shape), ["m00", "m01"])
        assert (ensemble.answering != ensemble.way) == (shape in shapes[:MOST_SHAPES])

    assert {one.stage for one in told} == {"ready"}
    assert len(devices[0].allocated) == 6 * MOST_SHAPES


def test_a_frame_in_parts_is_answered_in_one_way(plain_bundle: Bundle, load: Callable[..., LoadedEnsemble]) -> None:
    ensemble = load(plain_bundle, [])
    ensemble.tile_pixels = 64 * 64
    big = _frame((120, 136))
    before = ensemble.answer(big, ["m00", "m01"])
    told: list[Size] = []
    ensemble.promote(told.append)
    for _ in range(20):
        ensemble.answer(big, ["m00"])
    until(lambda: list(told), bool, _PATIENCE_S)
    after = ensemble.answer(big, ["m00", "m01"])

    assert told[0].shape[0] * told[0].shape[1] <= 64 * 64
    assert told[0].stage == "ready"
    assert ensemble.answering != ensemble.way
    np.testing.assert_allclose(np.stack(after.maps), np.stack(before.maps), atol=1e-5)


def test_what_was_compiled_once_is_not_compiled_again(plain_bundle: Bundle, load: Callable[..., LoadedEnsemble], tmp_path: Path) -> None:
    ensemble = load(plain_bundle)
    _promoted(ensemble)
    files = {file: file.stat().st_ino for file in (tmp_path / "compiled").iterdir()}
    ensemble.close()
    (size,) = _promoted(load(plain_bundle))

    assert (size.stage, size.why) == ("ready", None)
    assert {file: file.stat().st_ino for file in (tmp_path / "compiled").iterdir()} == files
    assert len(files) == 1  # the plain bundle's members are one and the same network


def test_members_of_one_architecture_are_not_taken_for_each_other(tmp_path: Path, load: Callable[..., LoadedEnsemble]) -> None:
    bundle = make_plain_bundle(tmp_path / "plain", (-1.0, -2.0, 0.0))
    ensemble = load(bundle)
    before = ensemble.answer(_frame(), bundle.card.member_ids)
    _promoted(ensemble)
    after = ensemble.answer(_frame(), bundle.card.member_ids)

    assert ensemble.answering != ensemble.way
    np.testing.assert_allclose(np.stack(after.maps), np.stack(before.maps), atol=1e-6)


@pytest.mark.parametrize(
    ("compile_with", "why"),
    [
        ("host_device:refuse", r"the members can't be compiled for frames of 64x96 pixels: m00.onnx: RuntimeError: no tactic for Conv_3 and more"),
        ("host_device:crash", r"can't be compiled for frames of 64x96 pixels: the process that did it ended with code 42 and said nothing"),
        ("host_device:distort", r"golden.*: the mean map is off by .* on 64x96 pixels"),
    ],
)
def test_where_it_can_not_be_built_or_gives_other_answers_the_way_stays_and_the_reason_is_told(
    plain_bundle: Bundle, load: Callable[..., LoadedEnsemble], compile_with: str, why: str
) -> None:
    ensemble = load(plain_bundle, compile_with=compile_with)
    (size,) = _promoted(ensemble)
    ensemble.answer(_frame(), ["m00"])

    assert size.stage == "refused"
    assert size.why is not None
    assert re.search(why, size.why)
    assert ensemble.answering == ensemble.way
    told = ensemble.upgrade_as_json()
    assert told is not None
    assert told["sizes"][0]["why"] == size.why


def test_an_ensemble_that_goes_while_it_is_built_for_abandons_that(plain_bundle: Bundle, load: Callable[..., LoadedEnsemble], tmp_path: Path) -> None:
    ensemble = load(plain_bundle, compile_with="host_device:dawdle")
    told: list[Size] = []
    ensemble.promote(told.append)
    until(lambda: list((tmp_path / "compiled").rglob("*.begun")), bool)
    ensemble.answer(_frame(), ["m00"])
    ensemble.close()

    assert not told
    assert not list((tmp_path / "compiled").iterdir())
    assert "promotion" not in {thread.name for thread in threading.enumerate()}


def test_what_fails_on_a_frame_is_not_asked_again_and_the_frame_is_answered(
    plain_bundle: Bundle, load: Callable[..., LoadedEnsemble], devices: Devices, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensemble = load(plain_bundle)
    told = _promoted(ensemble)
    wanted = ensemble.answer(_frame(), ["m00"]).maps

    def fails(*_: object) -> None:
        raise MemberFailed("m00", "an illegal memory access was encountered")

    monkeypatch.setattr(CompiledMembers, "run", fails)
    got = ensemble.answer(_frame(), ["m00"]).maps

    np.testing.assert_allclose(np.stack(got), np.stack(wanted), atol=1e-6)
    assert ensemble.answering == ensemble.way
    assert [one.stage for one in told] == ["ready", "refused"]
    assert "illegal memory access" in (told[1].why or "")
    until(lambda: len(devices[0].allocated), lambda out: out == 0)


def test_what_the_other_way_held_for_a_size_is_given_back_once_it_has_been_taken_over(
    plain_bundle: Bundle, load: Callable[..., LoadedEnsemble], devices: Devices
) -> None:
    ensemble = load(plain_bundle)
    forgotten: list[tuple[int, int]] = []
    ensemble.members.forget = forgotten.append  # type: ignore[assignment, method-assign]
    _promoted(ensemble)

    assert not forgotten
    ensemble.answer(_frame(), ["m00"])
    until(lambda: list(forgotten), lambda shapes: shapes == [SHAPE])
    ensemble.close()
    assert devices[0].closed
    assert not devices[0].allocated


def test_bound_members_forget_a_size_and_still_answer_it(graphene: Bundle, tmp_path: Path) -> None:
    device = CompilingHost()
    members = CompiledMembers({"m00": graphene.member_path("m00")}, device, tmp_path)
    members.build(SHAPE, threading.Event())
    before = members.run(_frame(), ["m00"]).maps
    members.forget(SHAPE)
    members.forget(SHAPE)
    assert not device.allocated
    np.testing.assert_array_equal(members.run(_frame(), ["m00"]).maps, before)
    members.close()


def test_a_size_that_was_not_built_is_refused_with_its_name(plain_bundle: Bundle, tmp_path: Path) -> None:
    members = CompiledMembers({"m00": plain_bundle.member_path("m00")}, CompilingHost(), tmp_path)
    with pytest.raises(Exception, match="member m00 is not compiled for frames of 64x96 pixels"):
        members.run(_frame(), ["m00"])
    members.close()


def test_a_compiled_file_that_can_not_be_opened_is_thrown_away(plain_bundle: Bundle, tmp_path: Path) -> None:
    members = CompiledMembers({"m00": plain_bundle.member_path("m00")}, CompilingHost(), tmp_path)
    place = members._compiled.place(plain_bundle.member_path("m00"), SHAPE)
    place.write_bytes(b"no network")
    with pytest.raises(LoadError, match="can't be run"):
        members.build(SHAPE, threading.Event())
    assert not place.exists()

    members.build(SHAPE, threading.Event())
    assert len(members.run(_frame(), ["m00"]).maps) == 1
    members.close()


def test_a_way_that_is_better_than_another_device_s_is_left_alone_and_says_so(plain_bundle: Bundle, tmp_path: Path) -> None:
    upgrade = Upgrade("onnxruntime", "TensorRT", "float32", partial(pytest.fail, "not opened"), instead_of="cuda")
    ensemble = Loader("cpu", runtime="onnxruntime", upgrade=upgrade).load(plain_bundle)
    told = ensemble.upgrade_as_json()
    ensemble.close()

    assert told is not None
    assert told["missing"] == "TensorRT, float32 takes over from cuda, and the members run on cpu"


def test_where_tensorrt_is_not_there_the_reason_is_a_sentence(plain_bundle: Bundle, tmp_path: Path) -> None:
    found = tensorrt_upgrade("cpu", "exact", tmp_path)
    assert found == "the members run on the CPU, and TensorRT needs an NVIDIA GPU"
    ensemble = Loader("cpu", runtime="onnxruntime", upgrade=found).load(plain_bundle)
    told = ensemble.upgrade_as_json()
    ensemble.close()

    assert told == {"runtime": None, "bits": None, "missing": found, "sizes": []}
    missing = tensorrt_missing()
    assert missing is None or "install" in missing
