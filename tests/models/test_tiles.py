from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from atomstream_models.analysis import finish, infer, prepare
from atomstream_models.bundle import Bundle
from atomstream_models.runtime import load_ensemble
from atomstream_models.runtime._reach import reach_px
from atomstream_models.runtime._tiles import tiles
from atomstream_models.simulation import SimulatedMicroscope

_SIDE = 96


def _network(file: Path, *layers: tuple[str, dict[str, Any]]) -> Path:
    """One layer after another; `Skip` adds the frame itself."""
    random = np.random.default_rng(0)
    nodes, weights, value = [], [], "frame"
    for k, (kind, given_) in enumerate(layers):
        inputs, attributes = [value], dict(given_)
        if kind in ("Conv", "ConvTranspose"):
            size = attributes["kernel_shape"]
            weights.append(numpy_helper.from_array(random.uniform(0.1, 1, (1, 1, *size)).astype(np.float32), f"w{k}"))
            inputs.append(f"w{k}")
        if kind == "Resize":
            weights.append(numpy_helper.from_array(np.array([1, 1, *[attributes.pop("scale")] * 2], np.float32), f"s{k}"))
            inputs += ["", f"s{k}"]
        if kind == "Skip":
            inputs.append("frame")
        if kind == "ReduceMean":
            weights.append(numpy_helper.from_array(np.array([2, 3]), f"a{k}"))
            inputs.append(f"a{k}")
        value = "probability" if k == len(layers) - 1 else f"v{k}"
        nodes.append(helper.make_node("Add" if kind == "Skip" else kind, inputs, [value], **attributes))
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, "H", "W"]) for name in ("frame", "probability")]
    onnx.save(
        helper.make_model(helper.make_graph(nodes, "n", ports[:1], ports[1:], weights), opset_imports=[helper.make_opsetid("", 18)], ir_version=9), str(file)
    )
    return file


def _conv(k: int, *, d: int = 1, s: int = 1, pad: int | None = None) -> tuple[str, dict[str, Any]]:
    pad = d * (k - 1) // 2 if pad is None else pad
    return "Conv", {"kernel_shape": [k, k], "pads": [pad] * 4, "dilations": [d, d], "strides": [s, s]}


_POOL = ("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2]})
_UP = ("Resize", {"scale": 2.0, "mode": "linear"})
_NETWORKS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "convolutions": [_conv(3), ("Relu", {}), _conv(5, d=3)],
    "down and up again": [_conv(3), _POOL, _conv(3), _UP, ("Skip", {}), _conv(3)],
    "three levels": [_POOL, _conv(3), _POOL, _conv(3, d=2), ("Resize", {"scale": 2.0, "mode": "cubic"}), _conv(3), _UP],
    "nearest": [("AveragePool", {"kernel_shape": [4, 4], "strides": [4, 4]}), _conv(3), ("Resize", {"scale": 4.0, "mode": "nearest"})],
    "transposed": [_conv(6, s=2, pad=2), _conv(3), ("ConvTranspose", {"kernel_shape": [4, 4], "strides": [2, 2], "pads": [1, 1, 1, 1]})],
}


@pytest.mark.parametrize("name", _NETWORKS)
def test_what_lies_beyond_a_networks_reach_has_no_part_in_its_answer(tmp_path: Path, name: str) -> None:
    file = _network(tmp_path / "net.onnx", *_NETWORKS[name])
    reach = reach_px(file)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    farthest = 0
    for at in range(40, 48):
        still, changed = (np.zeros((1, 1, _SIDE, _SIDE), np.float32) for _ in range(2))
        changed[0, 0, at, at] = 1.0
        difference = session.run(None, {"frame": changed})[0][0, 0] - session.run(None, {"frame": still})[0][0, 0]
        farthest = max(farthest, int(np.abs(np.argwhere(difference) - at).max()))

    assert reach is not None
    assert farthest <= reach <= 2 * farthest + 8


def test_of_a_network_that_looks_at_the_whole_frame_no_reach_is_told(tmp_path: Path) -> None:
    file = _network(tmp_path / "net.onnx", _conv(3), ("ReduceMean", {"keepdims": 1}), ("Skip", {}))

    assert reach_px(file) is None


@given(
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.integers(0, 50),
    st.sampled_from([1, 4, 8]),
    st.integers(64, 40_000),
)
def test_tiles_make_up_the_frame_and_see_what_they_need(blocks: tuple[int, int], halo: int, step: int, most: int) -> None:
    shape = (blocks[0] * step, blocks[1] * step)
    seen = np.zeros(shape, np.int64)
    for tile in tiles(shape, halo, step, most):
        look, keep, place = tile.look, tile.keep, tile.place
        seen[place] += 1
        for axis in (0, 1):
            assert look[axis].start + keep[axis].start == place[axis].start
            assert keep[axis].stop - keep[axis].start == place[axis].stop - place[axis].start
            assert look[axis].start % step == 0 == (look[axis].stop - look[axis].start) % step
            assert look[axis].start == 0 or place[axis].start - look[axis].start >= halo
            assert look[axis].stop == shape[axis] or look[axis].stop - place[axis].stop >= halo
        sizes = [one.stop - one.start for one in look]
        assert sizes[0] * sizes[1] <= most or all(one.stop - one.start <= step for one in place)
    assert (seen == 1).all()


def test_in_tiles_the_shipped_members_answer_as_on_the_whole_frame(graphene: Bundle) -> None:
    frame = SimulatedMicroscope(4, (384, 520)).next_frame()
    ensemble = load_ensemble(graphene, "cpu")
    prepared = prepare(frame.image, (frame.pixel_nm, frame.pixel_nm), graphene.card)
    whole = infer(prepared, graphene.card, graphene.card.member_ids, ensemble.answer)
    ensemble.tile_pixels = 120_000
    parts = infer(prepared, graphene.card, graphene.card.member_ids, ensemble.answer)

    np.testing.assert_allclose(np.stack(parts.maps), np.stack(whole.maps), atol=1e-5)
    np.testing.assert_allclose(finish(parts, graphene.card).atoms, finish(whole, graphene.card).atoms, atol=1e-4)
    assert set(ensemble.last_ms) == set(graphene.card.member_ids)


@pytest.mark.parametrize("side", [4096, 5120, 6144, 8192])
def test_all_parts_of_a_frame_look_at_as_much_so_that_nothing_is_made_ready_for_many_sizes(side: int) -> None:
    parts = tiles((side, side), 121, 8, 5 << 20)

    assert len(parts) > 1
    assert len({tuple(cut.stop - cut.start for cut in part.look) for part in parts}) == 1
