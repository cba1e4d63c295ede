"""Networks in operations that are quick on a GPU.

cuDNN's batch normalisation took from a quarter of the time of AtomAI's Unet, in float32, to more than half, in float16 with channels last, and its addition of
a convolution's bias took twice as long as an ordinary addition.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

FUSED_AGAIN = ("ConvAddFusion",)
"""ONNX Runtime's rules that would undo this."""
_KEEP_SIGN = ("LeakyRelu", "Relu")
"""What can be scaled before as well as after, by numbers above zero."""


def simplify(model: onnx.ModelProto) -> None:
    """Replace batch normalisations, and convolutions' biases, by additions, in place; the network computes the same but for rounding.

    model : with the shapes of all its tensors, as shape inference gives them; what is not known to be images in float32 is left as it is
    """
    _Simplifier(model.graph).run()


class _Simplifier:
    """A graph on its way to simpler operations."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self._numbers = {one.name: one for one in graph.initializer if one.data_type == onnx.TensorProto.FLOAT}
        self._images = {one.name for one in (*graph.value_info, *graph.input, *graph.output) if _is_image(one.type.tensor_type)}
        self._made_by: dict[str, onnx.NodeProto] = {name: node for node in graph.node for name in node.output}
        self._uses = Counter(name for node in graph.node for name in node.input) + Counter(one.name for one in graph.output)

    def run(self) -> None:
        """Normalisations first, since they change the biases."""
        self._rewrite(self._without_norm)
        self._rewrite(self._without_bias)
        used = {name for node in self._graph.node for name in node.input}
        numbers = [one for one in self._graph.initializer if one.name in used]
        del self._graph.initializer[:]
        self._graph.initializer.extend(numbers)

    def _rewrite(self, change: Callable[[onnx.NodeProto], list[onnx.NodeProto]]) -> None:
        changed = [one for node in self._graph.node for one in change(node)]
        del self._graph.node[:]
        self._graph.node.extend(changed)
        self._made_by = {name: node for node in self._graph.node for name in node.output}

    def _without_norm(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        if node.op_type != "BatchNormalization" or len(node.output) != 1 or not self._is_known(node):
            return [node]
        scale, shift, mean, variance = (self._array(name) for name in node.input[1:])
        epsilon = next((one.f for one in node.attribute if one.name == "epsilon"), 1e-5)
        factor = (scale / np.sqrt(variance + epsilon)).astype(np.float32)
        offset = shift - mean * factor
        source, answer = self._convolution_before(node.input[0], bool((factor > 0).all())), node.output[0]
        if source is not None and source.output[0] == node.input[0]:
            self._scale(source, factor)
            self._shift(source, offset)
            source.output[0] = answer
            self._made_by[answer] = source
            return []
        add = helper.make_node("Add", [node.input[0], self._added(f"{answer}.offset", _across(offset))], [answer])
        if source is None:
            add.input[0] = f"{answer}.scaled"
            return [helper.make_node("Mul", [node.input[0], self._added(f"{answer}.factor", _across(factor))], [add.input[0]]), add]
        self._scale(source, factor)
        return [add]

    def _without_bias(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        if node.op_type != "Conv" or len(node.input) < 3 or not self._is_known(node):
            return [node]
        bias, answer = self._array(node.input[2]), node.output[0]
        del node.input[2:]
        node.output[0] = f"{answer}.unbiased"
        return [node, helper.make_node("Add", [node.output[0], self._added(f"{answer}.bias", _across(bias))], [answer])]

    def _convolution_before(self, name: str, above_zero: bool) -> onnx.NodeProto | None:
        """The convolution whose answer can be scaled instead, where nobody else uses what lies between."""
        node: onnx.NodeProto | None = self._made_by.get(name)
        while node is not None and node.op_type in _KEEP_SIGN and above_zero and self._uses[name] == 1:
            name = node.input[0]
            node = self._made_by.get(name)
        return node if node is not None and node.op_type == "Conv" and self._uses[name] == 1 and self._is_known(node) else None

    def _is_known(self, node: onnx.NodeProto) -> bool:
        """Whether a node takes images and constant numbers, and answers images."""
        return node.input[0] in self._images and node.output[0] in self._images and all(name in self._numbers for name in node.input[1:])

    def _scale(self, node: onnx.NodeProto, factor: NDArray[np.float32]) -> None:
        for k, shape in zip(range(1, len(node.input)), ((-1, 1, 1, 1), (-1,)), strict=False):
            node.input[k] = self._added(f"{node.output[0]}.scaled.{k}", self._array(node.input[k]) * factor.reshape(shape))

    def _shift(self, node: onnx.NodeProto, offset: NDArray[np.float32]) -> None:
        bias = self._array(node.input[2]) if len(node.input) > 2 else np.float32(0)
        del node.input[2:]
        node.input.append(self._added(f"{node.output[0]}.shifted", bias + offset))

    def _array(self, name: str) -> NDArray[np.float32]:
        array: NDArray[np.float32] = numpy_helper.to_array(self._numbers[name])
        return array

    def _added(self, name: str, array: NDArray[np.float32]) -> str:
        self._numbers[name] = numpy_helper.from_array(array.astype(np.float32), name)
        self._graph.initializer.append(self._numbers[name])
        return name


def _is_image(kind: onnx.TypeProto.Tensor) -> bool:
    return kind.elem_type == onnx.TensorProto.FLOAT and len(kind.shape.dim) == len(("frame", "channel", "row", "column"))


def _across(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """A number for each channel, in the shape in which it spreads over rows and columns."""
    return array.reshape(-1, 1, 1)
