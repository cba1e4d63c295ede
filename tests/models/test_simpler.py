"""Networks rewritten in operations that are quick on a GPU."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from atomstream_models.bundle import Bundle
from atomstream_models.runtime._simpler import FUSED_AGAIN, simplify

FRAME = np.random.default_rng(0).standard_normal((1, 1, 24, 32)).astype(np.float32)


def _run(model: onnx.ModelProto) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"], disabled_optimizers=FUSED_AGAIN)
    output: NDArray[np.float32] = session.run(None, {"frame": FRAME})[0]
    return output


def _simplified(model: onnx.ModelProto) -> onnx.ModelProto:
    model = onnx.shape_inference.infer_shapes(model)
    simplify(model)
    return model


def _network(
    nodes: list[onnx.NodeProto], more: Mapping[str, NDArray[Any]] | None = None, answer: str = "nchw", signs: tuple[int, int, int] = (1, 1, 1)
) -> onnx.ModelProto:
    """A network of convolutions "w", "b" and normalisations of three channels whose factors have these signs.

    more : other numbers; answer : letters for the axes of what it answers
    """
    random = np.random.default_rng(1)
    numbers = {
        "w": random.standard_normal((3, 1, 3, 3)),
        "b": random.standard_normal(3),
        "scale": random.uniform(0.5, 2, 3) * signs,
        "shift": random.standard_normal(3),
        "mean": random.standard_normal(3),
        "variance": random.uniform(0.5, 2, 3),
    }
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("frame", TensorProto.FLOAT, FRAME.shape)],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, list(answer))],
        [numpy_helper.from_array(one, name) for name, one in ({name: one.astype(np.float32) for name, one in numbers.items()} | dict(more or {})).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    return model


def _conv(to: str, bias: bool = True) -> onnx.NodeProto:
    return helper.make_node("Conv", ["frame", "w", *(["b"] if bias else [])], [to], pads=[1, 1, 1, 1])


def _norm(source: str, to: str) -> onnx.NodeProto:
    return helper.make_node("BatchNormalization", [source, "scale", "shift", "mean", "variance"], [to], epsilon=1e-3)


def _leaky(source: str, to: str) -> onnx.NodeProto:
    return helper.make_node("LeakyRelu", [source], [to], alpha=0.1)


@pytest.mark.parametrize(
    ("nodes", "signs", "wanted"),
    [
        ([_conv("a"), _leaky("a", "b1"), _norm("b1", "out")], (1, 1, 1), "Conv Add LeakyRelu Add"),
        ([_conv("a"), _leaky("a", "b1"), _norm("b1", "out")], (1, -1, 1), "Conv Add LeakyRelu Mul Add"),
        ([_conv("a"), _norm("a", "out")], (1, -1, 1), "Conv Add"),
        ([_conv("a"), helper.make_node("Sigmoid", ["a"], ["b1"]), _norm("b1", "out")], (1, 1, 1), "Conv Add Sigmoid Mul Add"),
        ([_conv("a"), _leaky("a", "b1"), _norm("b1", "c"), helper.make_node("Add", ["c", "a"], ["out"])], (1, 1, 1), "Conv Add LeakyRelu Mul Add Add"),
        ([_conv("a"), _leaky("a", "b1"), _norm("b1", "c"), helper.make_node("Concat", ["c", "b1"], ["out"], axis=1)], (1, 1, 1), None),
    ],
)
def test_a_network_computes_the_same_without_norms_and_biases(nodes: list[onnx.NodeProto], signs: tuple[int, int, int], wanted: str | None) -> None:
    model = _network(nodes, signs=signs)
    before = _run(model)
    model = _simplified(model)

    onnx.checker.check_model(model)
    if wanted is not None:
        assert " ".join(node.op_type for node in model.graph.node) == wanted
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}
    np.testing.assert_allclose(_run(model), before, atol=1e-5)


def test_two_convolutions_with_the_same_weights_are_scaled_one_at_a_time() -> None:
    model = _network([_conv("a"), _leaky("a", "c"), _norm("c", "d"), _conv("e"), helper.make_node("Add", ["d", "e"], ["out"])])
    before = _run(model)
    model = _simplified(model)

    np.testing.assert_allclose(_run(model), before, atol=1e-5)


def test_a_convolution_without_a_bias_gets_that_of_the_norm_after_it() -> None:
    model = _network([_conv("a", bias=False), _norm("a", "out")])
    before = _run(model)
    model = _simplified(model)

    assert [node.op_type for node in model.graph.node] == ["Conv", "Add"]
    np.testing.assert_allclose(_run(model), before, atol=1e-5)


def test_the_shipped_networks_stay_what_they_are(graphene: Bundle) -> None:
    model = onnx.load(str(graphene.member_path("m00")))
    for dim, size in zip(model.graph.input[0].type.tensor_type.shape.dim, FRAME.shape, strict=True):
        dim.dim_value = size
    before, kinds = _run(model), Counter(node.op_type for node in model.graph.node)
    model = _simplified(model)
    after = Counter(node.op_type for node in model.graph.node)

    assert after - kinds == Counter(Add=kinds["Conv"])
    np.testing.assert_allclose(_run(model), before, atol=1e-5)


def test_nothing_is_fused_again(tmp_path: Path) -> None:
    model = _network([_conv("a"), _leaky("a", "b1"), _norm("b1", "out")])
    model = _simplified(model)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"], disabled_optimizers=FUSED_AGAIN)

    assert [node.op_type for node in onnx.load(str(tmp_path / "optimised.onnx")).graph.node] == ["Conv", "Add", "LeakyRelu", "Add"]


def test_what_is_not_images_in_float32_is_left_as_it_is() -> None:
    """Rows of numbers that are normalised, as squeeze-and-excitation does it, and weights of 16 bits."""
    flat = [
        helper.make_node("ReduceMean", ["wide", "over"], ["flat"], keepdims=0),
        helper.make_node("BatchNormalization", ["flat", "scale", "shift", "mean", "variance"], ["flat_out"]),
        helper.make_node("Relu", ["flat_out"], ["out"]),
    ]
    of_half = [
        helper.make_node("Cast", ["frame"], ["half"], to=TensorProto.FLOAT16),
        helper.make_node("Conv", ["half", "w16", "b16"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Cast", ["a"], ["wide"], to=TensorProto.FLOAT),
    ]
    model = _network([*of_half, *flat], {"w16": np.ones((3, 1, 3, 3), np.float16), "b16": np.ones(3, np.float16), "over": np.array([2, 3])}, "nc")
    kinds = [node.op_type for node in model.graph.node]

    assert [node.op_type for node in _simplified(model).graph.node] == kinds
