"""How much a network computes for a frame."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import onnx

_MULTIPLY_AND_ADD = 2


def flops_of(file: Path, shape: tuple[int, int]) -> float:
    """Floating-point operations of a member's convolutions on a frame (rows, columns), a multiplication and an addition counted as two."""
    model = onnx.load(str(file))
    for side, size in zip(model.graph.input[0].type.tensor_type.shape.dim, (1, 1, *shape), strict=True):
        side.dim_value = size
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    graph = onnx.shape_inference.infer_shapes(model).graph
    shapes = {one.name: [dim.dim_value for dim in one.type.tensor_type.shape.dim] for one in (*graph.value_info, *graph.output, *graph.input)}
    weights = {one.name: list(one.dims) for one in graph.initializer}
    return float(sum(_of(node, shapes, weights) for node in graph.node))


def _of(node: onnx.NodeProto, shapes: dict[str, Any], weights: dict[str, Any]) -> int:
    """Each output pixel of a convolution sees all its kernel's numbers; each input pixel of a transposed one spreads to all of them."""
    if node.op_type not in ("Conv", "ConvTranspose"):
        return 0
    kernel = weights[node.input[1]]
    pixels = shapes[node.output[0] if node.op_type == "Conv" else node.input[0]]
    operations: int = _MULTIPLY_AND_ADD * math.prod(kernel) * math.prod(pixels[2:])
    return operations
