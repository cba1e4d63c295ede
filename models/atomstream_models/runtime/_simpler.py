"""Networks in operations that are quick on a GPU.

cuDNN's batch normalisation took most of the time of AtomAI's Unet, in whichever order of memory, and its addition of a convolution's bias twice that of
an ordinary addition.
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
    """Replace a network's batch normalisations, and its convolutions' biases, by additions, in place; it computes the same but for rounding."""
    _Simplifier(model.graph).run()


class _Simplifier:
    """A graph on its way to simpler operations."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self._numbers = {one.name: one for one in graph.initializer}
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
        if node.op_type != "BatchNormalization" or len(node.output) != 1 or not all(name in self._numbers for name in node.input[1:]):
            return [node]
        scale, shift, mean, variance = (self._array(name) for name in node.input[1:])
        epsilon = next((one.f for one in node.attribute if one.name == "epsilon"), 1e-5)
        factor = (scale / np.sqrt(variance + epsilon)).astype(np.float32)
        offset = shift - mean * factor
        source, answer = self._convolution_before(node.input[0], bool((factor > 0).all())), node.output[0]
        add = helper.make_node("Add", [node.input[0], self._added(f"{answer}.offset", _across(offset))], [answer])
        if source is None:
            add.input[0] = f"{answer}.scaled"
            return [helper.make_node("Mul", [node.input[0], self._added(f"{answer}.factor", _across(factor))], [add.input[0]]), add]
        self._scale(source, factor)
        return [add]

    def _without_bias(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        if node.op_type != "Conv" or len(node.input) < 3 or node.input[2] not in self._numbers:
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
        if node is None or node.op_type != "Conv" or self._uses[name] != 1 or not all(one in self._numbers for one in node.input[1:]):
            return None
        return node

    def _scale(self, node: onnx.NodeProto, factor: NDArray[np.float32]) -> None:
        for k, shape in zip(range(1, len(node.input)), ((-1, 1, 1, 1), (-1,)), strict=False):
            node.input[k] = self._added(f"{node.output[0]}.scaled.{k}", self._array(node.input[k]) * factor.reshape(shape))

    def _array(self, name: str) -> NDArray[np.float32]:
        array: NDArray[np.float32] = numpy_helper.to_array(self._numbers[name])
        return array

    def _added(self, name: str, array: NDArray[np.float32]) -> str:
        self._numbers[name] = numpy_helper.from_array(array.astype(np.float32), name)
        self._graph.initializer.append(self._numbers[name])
        return name


def _across(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """A number for each channel, in the shape in which it spreads over rows and columns."""
    return array.reshape(-1, 1, 1)
