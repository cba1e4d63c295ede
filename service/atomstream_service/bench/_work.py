"""How much a network computes and moves for a frame."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

_MULTIPLY_AND_ADD = 2
_CONVOLUTIONS = ("Conv", "ConvTranspose")

_Sizes = Mapping[str, Sequence[int]]
"""Tensor -> its shape."""


@dataclass(frozen=True)
class Work:
    """What one member does with one frame.

    flop : floating-point operations of its convolutions, a multiplication and an addition counted as two
    moved : numbers that pass through memory where it goes layer by layer: each convolution reads its input and its weights and writes its output,
        all else is done in passing
    alive : numbers that are needed at once, at most
    """

    flop: float
    moved: float
    alive: float


def work_of(file: Path, shape: tuple[int, int]) -> Work:
    """A member's work on a frame (rows, columns), from its graph."""
    model = onnx.load(str(file))
    for side, size in zip(model.graph.input[0].type.tensor_type.shape.dim, (1, 1, *shape), strict=True):
        side.dim_value = size
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    graph = onnx.shape_inference.infer_shapes(model).graph
    shapes = {one.name: [dim.dim_value for dim in one.type.tensor_type.shape.dim] for one in (*graph.value_info, *graph.output, *graph.input)}
    weights = {one.name: list(one.dims) for one in graph.initializer}
    nodes = [node for node in graph.node if node.op_type in _CONVOLUTIONS]
    return Work(
        flop=float(sum(_operations(node, shapes, weights) for node in nodes)),
        moved=float(sum(math.prod((shapes | weights)[name]) for node in nodes for name in (*node.input[:2], *node.output))),
        alive=float(_alive(graph, shapes)),
    )


def _operations(node: onnx.NodeProto, shapes: _Sizes, weights: _Sizes) -> int:
    """Each output pixel of a convolution sees all its kernel's numbers; each input pixel of a transposed one spreads to all of them."""
    pixels = shapes[node.output[0] if node.op_type == "Conv" else node.input[0]]
    return _MULTIPLY_AND_ADD * math.prod(weights[node.input[1]]) * math.prod(pixels[2:])


def _alive(graph: onnx.GraphProto, shapes: _Sizes) -> int:
    """The most numbers between a tensor's making and its last use, node by node, where nothing is done in place."""
    last = {name: k for k, node in enumerate(graph.node) for name in node.input}
    alive, most = {graph.input[0].name: math.prod(shapes[graph.input[0].name])}, 0
    for k, node in enumerate(graph.node):
        alive |= {name: math.prod(shapes[name]) for name in node.output if name in shapes}
        most = max(most, sum(alive.values()))
        alive = {name: size for name, size in alive.items() if last.get(name, -1) > k}
    return most
