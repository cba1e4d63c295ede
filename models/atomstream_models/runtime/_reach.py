"""How far around a pixel a network looks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import onnx
from onnx import numpy_helper

_ACTIVATIONS = (
    "Celu",
    "Elu",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "LeakyRelu",
    "Mish",
    "PRelu",
    "Relu",
    "Selu",
    "Sigmoid",
    "Softplus",
    "Softsign",
    "Tanh",
    "ThresholdedRelu",
)
_ARITHMETIC = (
    "Abs",
    "Add",
    "BatchNormalization",
    "Cast",
    "Clip",
    "Div",
    "Erf",
    "Exp",
    "Floor",
    "Identity",
    "Log",
    "Max",
    "Mean",
    "Min",
    "Mul",
    "Neg",
    "Pow",
    "Reciprocal",
    "Sqrt",
    "Sub",
    "Sum",
)
_POINTWISE = frozenset((*_ACTIVATIONS, *_ARITHMETIC))
_OVER_CHANNELS = frozenset(("Concat", "LogSoftmax", "Softmax"))
_SPATIAL = 2


@dataclass(frozen=True)
class _Seen:
    """What a value's pixels have seen of the frame.

    step : frame pixels between two of its own
    reach : frame pixels to each side of it that may have had a part in it
    """

    step: Fraction
    reach: Fraction


_Rule = Callable[[onnx.NodeProto, _Seen, dict[str, Any]], _Seen | None]


def reach_px(file: Path) -> int | None:
    """Pixels around a pixel of the answer beyond which the frame has no part in it; None where that can't be told, or is the whole frame.

    Worked out on the graph: each operator widens what its inputs have seen (Araujo, Norris, Sim 2019, doi 10.23915/distill.00021), rounded up where
    a grid is refined.
    """
    graph = onnx.load(str(file)).graph
    constants = {one.name: one for one in graph.initializer}
    constants |= {
        node.output[0]: node.attribute[0].t for node in graph.node if node.op_type == "Constant" and node.attribute and node.attribute[0].HasField("t")
    }
    seen: dict[str, _Seen] = {graph.input[0].name: _Seen(Fraction(1), Fraction(0))}
    for node in graph.node:
        inputs = [seen[name] for name in node.input if name in seen]
        if not inputs:
            continue
        joined = _joined(inputs)
        out = None if joined is None else _after(node, joined, constants)
        if out is None:
            return None
        for name in node.output:
            seen[name] = out
    return math.ceil(seen[graph.output[0].name].reach)


def _joined(inputs: Sequence[_Seen]) -> _Seen | None:
    """Several values of one grid together; None where they are of different ones."""
    if len({one.step for one in inputs}) > 1:
        return None
    return _Seen(inputs[0].step, max(one.reach for one in inputs))


def _after(node: onnx.NodeProto, seen: _Seen, constants: dict[str, Any]) -> _Seen | None:
    if node.op_type in _POINTWISE:
        return seen
    if node.op_type in _OVER_CHANNELS:
        return seen if _attribute(node, "axis", -1) == 1 else None
    rule = _RULES.get(node.op_type)
    return None if rule is None else rule(node, seen, constants)


def _window(node: onnx.NodeProto, seen: _Seen, constants: dict[str, Any]) -> _Seen | None:
    """A convolution or a pooling."""
    kernel = _attribute(node, "kernel_shape", None) or (list(constants[node.input[1]].dims[2:]) if len(node.input) > 1 and node.input[1] in constants else None)
    if kernel is None or _attribute(node, "auto_pad", b"NOTSET") != b"NOTSET":
        return None
    strides, dilations = _attribute(node, "strides", [1, 1]), _attribute(node, "dilations", [1, 1])
    pads = _attribute(node, "pads", [0] * 4)
    if len(set(strides)) > 1:
        return None
    before = pads[:_SPATIAL]
    beyond = [(k - 1) * d - p for k, d, p in zip(kernel, dilations, before, strict=True)]
    return _Seen(seen.step * strides[0], seen.reach + max(0, *before, *beyond) * seen.step)


def _transposed(node: onnx.NodeProto, seen: _Seen, constants: dict[str, Any]) -> _Seen | None:
    strides = _attribute(node, "strides", [1, 1])
    kernel = _attribute(node, "kernel_shape", None) or list(constants[node.input[1]].dims[2:])
    if len(set(strides)) > 1:
        return None
    return _Seen(seen.step / strides[0], seen.reach + (math.ceil(max(kernel) / strides[0]) + 1) * seen.step)


def _resized(node: onnx.NodeProto, seen: _Seen, constants: dict[str, Any]) -> _Seen | None:
    name = node.input[2] if node.op_type == "Resize" and len(node.input) > 2 else node.input[1]
    if name not in constants:
        return None
    scales = numpy_helper.to_array(constants[name])
    if scales.shape != (4,) or scales[2] != scales[3] or tuple(scales[:2]) != (1, 1) or not 0 < scales[2] < 64:
        return None
    neighbours = 2 if _attribute(node, "mode", b"nearest") == b"cubic" else 1
    step = seen.step / Fraction(float(scales[2])).limit_denominator(64)
    return _Seen(step, seen.reach + (neighbours + 1) * max(seen.step, step))


def _finer(node: onnx.NodeProto, seen: _Seen, constants: dict[str, Any]) -> _Seen | None:
    return _Seen(seen.step / _attribute(node, "blocksize", 1), seen.reach + seen.step)


def _coarser(node: onnx.NodeProto, seen: _Seen, constants: dict[str, Any]) -> _Seen | None:
    size = _attribute(node, "blocksize", 1)
    return _Seen(seen.step * size, seen.reach + (size - 1) * seen.step)


_RULES: dict[str, _Rule] = {
    "Conv": _window,
    "MaxPool": _window,
    "AveragePool": _window,
    "LpPool": _window,
    "ConvTranspose": _transposed,
    "Resize": _resized,
    "Upsample": _resized,
    "DepthToSpace": _finer,
    "SpaceToDepth": _coarser,
}


def _attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    found = next((one for one in node.attribute if one.name == name), None)
    return default if found is None else onnx.helper.get_attribute_value(found)
