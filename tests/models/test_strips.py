"""Members that look at a frame in strips, while its scan still runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal, NoReturn

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from atomstream_models.analysis import MemberFailed, Prepared, RunningScan, prepare
from atomstream_models.bundle import Bundle
from atomstream_models.normalize import fitter
from atomstream_models.runtime import LoadedEnsemble, LoadError, load_ensemble, open_strips, ways_here
from atomstream_models.runtime._strip_network import strip_network
from atomstream_models.runtime._strips import PooledStripMembers
from atomstream_models.simulation import SimulatedMicroscope
from atomstream_models.training import export_member
from atomstream_models.training.networks import NetworkSettings, build_network

Kind = Literal["half-unet", "quarter-unet", "unet", "dilated-unet", "segresnet", "hed", "atomai-unet"]


def _in_strips(strips: PooledStripMembers, frame: np.ndarray, members: list[str]) -> np.ndarray:
    run = strips.begin(members, *frame.shape[2:])
    last = (frame.shape[2] - 1) // strips.strip_rows * strips.strip_rows
    for first in range(0, last, strips.strip_rows):
        run.feed(frame[:, :, first : first + strips.strip_rows])
    return np.stack(run.finish(frame[:, :, last:]).maps)


@pytest.mark.parametrize("shape", [(512, 64), (104, 72), (8, 64), (40, 96)])
@pytest.mark.parametrize("strip_rows", [8, 32])
def test_strips_come_to_what_the_whole_frame_comes_to(graphene: Bundle, shape: tuple[int, int], strip_rows: int) -> None:
    frame = np.random.default_rng(0).standard_normal((1, 1, *shape), np.float32)
    members = list(graphene.card.member_ids[:2])
    ensemble = load_ensemble(graphene, "cpu")
    strips = open_strips(ensemble, strip_rows, None)

    np.testing.assert_allclose(_in_strips(strips, frame, members), np.stack(ensemble.run(frame, members)), atol=2e-6)


@pytest.mark.parametrize("kind", ["half-unet", "quarter-unet", "unet", "dilated-unet", "segresnet", "hed", "atomai-unet"])
def test_every_network_that_is_trained_here_can_be_followed(kind: Kind, tmp_path: Path) -> None:
    torch.manual_seed(3)
    export_member(build_network(NetworkSettings(kind=kind, filters=4), 3).eval(), tmp_path / "member.onnx")
    frame = np.random.default_rng(1).standard_normal((1, 1, 152, 64), np.float32)
    way = ways_here("cpu", "onnxruntime", "exact")[0][0]
    whole = way.open({"m00": tmp_path / "member.onnx"}, 1).run(frame, ["m00"]).maps
    strips = PooledStripMembers({"m00": tmp_path / "member.onnx"}, 16, 1)

    np.testing.assert_allclose(_in_strips(strips, frame, ["m00"]), np.stack(whole), atol=2e-6)


def test_members_that_answer_whole_frames_in_other_numbers_are_not_followed(graphene: Bundle) -> None:
    ensemble = load_ensemble(graphene, "cpu")
    ensemble.way = replace(ensemble.way, bits="bfloat16")

    with pytest.raises(LoadError, match="bfloat16 whole frames"):
        open_strips(ensemble, 16, None)


def test_after_the_last_row_only_a_part_is_left_to_do(graphene: Bundle) -> None:
    network = strip_network(graphene.member_path("m00"), 16)

    assert (16 + network.delay) / 512 < 0.3


def _refused(tmp_path: Path, nodes: list[onnx.NodeProto]) -> str:
    frame = helper.make_tensor_value_info("frame", TensorProto.FLOAT, ["n", 1, "h", "w_"])
    answer = helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["n", 1, "h", "w_"])
    onnx.save(helper.make_model(helper.make_graph(nodes, "member", [frame], [answer]), opset_imports=[helper.make_opsetid("", 17)]), str(tmp_path / "m.onnx"))
    with pytest.raises(LoadError) as refused:
        strip_network(tmp_path / "m.onnx", 16)
    return str(refused.value)


def test_a_network_that_looks_at_the_whole_frame_at_once_is_refused_by_name(tmp_path: Path) -> None:
    mean = helper.make_node("GlobalAveragePool", ["frame"], ["mean"])

    assert "GlobalAveragePool" in _refused(tmp_path, [mean, helper.make_node("Sub", ["frame", "mean"], ["probability"])])
    assert "overlap" in _refused(tmp_path, [helper.make_node("MaxPool", ["frame"], ["probability"], kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1])])


@pytest.fixture(scope="module")
def ensemble(graphene: Bundle) -> LoadedEnsemble:
    loaded = load_ensemble(graphene, "cpu")
    loaded.strips = open_strips(loaded, 16, None)
    return loaded


def _scan(ensemble: LoadedEnsemble, image: np.ndarray, members: tuple[str, ...] = ("m00", "m05")) -> tuple[RunningScan, Prepared]:
    """A scan that is followed with the frame's own scaling, and the complete frame."""
    assert ensemble.strips is not None
    normalization = ensemble.card.normalization
    scaling = fitter(normalization.name, normalization.parameters)(image)
    prepared = prepare(image, None, ensemble.card, carried=scaling)
    return RunningScan(ensemble.strips, ensemble.card, members, (image.shape[0], image.shape[1]), scaling), prepared


@pytest.mark.parametrize("shape", [(128, 96), (101, 93)])
def test_a_scan_that_was_followed_is_answered_as_if_it_had_not_been(ensemble: LoadedEnsemble, shape: tuple[int, int]) -> None:
    image = SimulatedMicroscope(5, shape).next_frame().image
    scan, prepared = _scan(ensemble, image)
    partial = np.zeros_like(image)
    for rows in (3, 20, 21, 70, shape[0] - 1):
        partial[:rows] = image[:rows]
        scan.advance(partial, rows)
    assert prepared.tensor is not None
    assert scan.rows_seen == (shape[0] - 1) // 16 * 16
    outputs = scan.answer(prepared.tensor, ["m05"])

    assert outputs is not None
    np.testing.assert_allclose(np.stack(outputs.maps), np.stack(ensemble.run(prepared.tensor, ["m05"])), atol=2e-6)


def test_another_frame_or_another_member_is_not_answered_from_what_was_seen(ensemble: LoadedEnsemble) -> None:
    image = SimulatedMicroscope(5, (128, 96)).next_frame().image
    scan, prepared = _scan(ensemble, image)
    scan.advance(image, 64)
    changed = image.copy()
    changed[40, 50] += 1000
    other = prepare(changed, None, ensemble.card, carried=scan.scaling)
    assert other.tensor is not None
    assert prepared.tensor is not None

    assert scan.answer(other.tensor, ["m00"]) is None
    assert scan.answer(prepared.tensor, ["m00", "m01"]) is None
    assert scan.answer(prepared.tensor[:, :, :120], ["m00"]) is None
    assert scan.answer(prepared.tensor, ["m00"]) is not None


def test_a_frame_keeps_its_own_scaling_where_the_one_before_was_another(ensemble: LoadedEnsemble) -> None:
    image = SimulatedMicroscope(5, (128, 96)).next_frame().image
    own = prepare(image, None, ensemble.card)
    brighter = prepare(image * 3, None, ensemble.card)
    alike = prepare((image * 1.004).astype(np.float32), None, ensemble.card)
    assert own.tensor is not None
    assert alike.scaling is not None

    np.testing.assert_array_equal(prepare(image, None, ensemble.card, carried=brighter.scaling).tensor, own.tensor)
    near = prepare(image, None, ensemble.card, carried=alike.scaling).tensor
    assert near is not None
    assert 0 < np.abs(near - own.tensor).max() < 0.2


def test_a_member_that_fails_on_the_way_down_is_named(graphene: Bundle) -> None:
    strips = open_strips(load_ensemble(graphene, "cpu"), 16, 2)
    run = strips.begin(["m00", "m01"], 64, 64)

    def fails(inputs: object) -> NoReturn:
        raise RuntimeError("out of memory")

    strips.members["m01"].call = fails
    with pytest.raises(MemberFailed, match="m01: out of memory"):
        run.feed(np.zeros((1, 1, 16, 64), np.float32))


def test_rows_beyond_those_of_the_channel_are_not_waited_for(ensemble: LoadedEnsemble) -> None:
    image = SimulatedMicroscope(5, (104, 96)).next_frame().image
    scan, prepared = _scan(ensemble, image)
    scan.advance(image, 512)
    assert prepared.tensor is not None

    assert scan.rows_seen == 96
    assert scan.answer(prepared.tensor, ["m00"]) is not None


def test_a_network_of_old_operators_is_refused_by_name(tmp_path: Path) -> None:
    frame = helper.make_tensor_value_info("frame", TensorProto.FLOAT, ["n", 1, "h", "w_"])
    answer = helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["n", 1, "h", "w_"])
    graph = helper.make_graph([helper.make_node("Sigmoid", ["frame"], ["probability"])], "member", [frame], [answer])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)]), str(tmp_path / "m.onnx"))

    with pytest.raises(LoadError, match="opset 13"):
        strip_network(tmp_path / "m.onnx", 16)
