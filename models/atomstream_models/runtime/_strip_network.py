"""A network for a frame that comes in strips of rows: each layer keeps the few rows that it will need again."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ._ways import LoadError

FIRST_ROW, ROWS = "first_row", "rows"
"""Inputs besides the strip: the number of its first row in the frame, and how many rows the frame has; int64, shape (1,)."""
_ANSWER = "strip_answer"
_ALL = np.iinfo(np.int64).max
_POINTWISE = frozenset(("BatchNormalization", "Cast", "Clip", "Elu", "HardSigmoid", "Identity", "LeakyRelu", "Relu", "Sigmoid", "Tanh"))
_OVER_CHANNELS = frozenset(("LogSoftmax", "Softmax"))
_OLDEST_OPSET = 13
"""Since then, arguments such as the ends of a Slice are inputs, and comparisons take whole numbers."""
_REPEATS = frozenset(((b"asymmetric", b"floor"), (b"half_pixel", b"round_prefer_floor"), (b"half_pixel", b"round_prefer_ceil")))
"""Grids on which the nearest row is the one that a row comes from."""
_TOGETHER = frozenset(("Add", "Concat", "Mul", "Sub", "Sum"))


class NotInStrips(LoadError):
    """The network has an operator, or one used in a way, that can't be followed row by row."""


@dataclass(frozen=True)
class State:
    """Rows that a layer keeps from one strip to the next, all zero before the first: input `name`, and output `name + "_next"`.

    channels, rows : its shape is (1, channels, rows, columns of the frame / step)
    """

    name: str
    channels: int
    rows: int
    step: int


@dataclass(frozen=True)
class StripNetwork:
    """A model that answers a strip of a frame after the other, together what the network answers to the whole frame.

    model : ONNX; takes `frame` (1, 1, strip_rows, columns), `first_row`, `rows` and the states, answers `strip_answer` (1, channels,
        strip_rows, columns) and the states' next values
    last : the same for the frame's last strip, of any height that is a multiple of `step`: every layer goes down to the frame's end, and the answer is
        complete; no states come out
    channels : of the answer
    step : rows of the frame between two of the coarsest layer; strips are multiples of it
    delay : an answer's first row is the strip's first row less this; rows that lie outside the frame mean nothing
    """

    model: bytes
    last: bytes
    channels: int
    step: int
    delay: int
    states: tuple[State, ...]


@dataclass(frozen=True)
class _Value:
    """What a value of the graph is in the stream.

    name : in the new graph
    step : rows of the frame between two of its own
    delay : rows of its own by which it is late
    channels : of its own
    """

    name: str
    step: int
    delay: int
    channels: int


def strip_network(file: Path, strip_rows: int) -> StripNetwork:
    """The network of an ONNX file in strips.

    Raises
    ------
    NotInStrips
        where an operator can't be followed.
    """
    model = onnx.load(str(file))
    if any(one.domain in ("", "ai.onnx") and one.version < _OLDEST_OPSET for one in model.opset_import):
        raise NotInStrips(f"operators older than those of opset {_OLDEST_OPSET}")
    try:
        strips, last = _Builder(model, strip_rows), _LastBuilder(model, strip_rows)
        answer = strips.build()
        last.build()
        return StripNetwork(strips.model(), last.model(), answer.channels, strips.step, answer.delay, tuple(strips.states))
    except onnx.checker.ValidationError as error:
        raise NotInStrips(str(error)) from error


class _Builder:
    def __init__(self, model: onnx.ModelProto, strip_rows: int) -> None:
        self.states: list[State] = []
        self._given = model
        self._strip = strip_rows
        self._constants = {one.name: one for one in model.graph.initializer}
        self._constants |= {node.output[0]: node.attribute[0].t for node in model.graph.node if node.op_type == "Constant" and node.attribute[0].HasField("t")}
        self._values: dict[str, _Value] = {}
        self._nodes: list[onnx.NodeProto] = []
        self._made: dict[str, onnx.TensorProto] = {}
        self._inside: dict[tuple[int, int], str] = {}
        self._count = 0

    @property
    def step(self) -> int:
        """Rows of the frame between two of the coarsest layer."""
        return max(one.step for one in self._values.values())

    def build(self) -> _Value:
        """Make all nodes; the answer."""
        graph = self._given.graph
        frame, answer = graph.input[0].name, graph.output[0].name
        self._values[frame] = _Value(frame, 1, 0, 1)
        for node in graph.node:
            if node.op_type != "Constant":
                self._follow(node)
        out = self._values[answer]
        if out.step != 1:
            raise NotInStrips("the answer has not the frame's own grid")
        self._node("Identity", [out.name], _ANSWER)
        return out

    def model(self) -> bytes:
        """What was built."""
        graph = self._given.graph
        inputs = [helper.make_tensor_value_info(graph.input[0].name, TensorProto.FLOAT, [1, 1, self._frame_rows, "columns"])]
        inputs += [helper.make_tensor_value_info(name, TensorProto.INT64, [1]) for name in (FIRST_ROW, ROWS)]
        inputs += [_rows_kept(one.name, one) for one in self.states]
        answer = helper.make_tensor_value_info(_ANSWER, TensorProto.FLOAT, [1, self._values[graph.output[0].name].channels, self._answer_rows, "columns"])
        used = {name for node in self._nodes for name in node.input}
        weights = [self._named(name) for name in self._constants if name in used]
        made = helper.make_graph(self._nodes, "strips", inputs, [answer, *self._kept()], [*weights, *self._made.values()])
        model = helper.make_model(made, opset_imports=self._given.opset_import, ir_version=self._given.ir_version)
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString())

    @property
    def _frame_rows(self) -> int | str:
        return self._strip

    @property
    def _answer_rows(self) -> int | str:
        return self._strip

    def _kept(self) -> list[onnx.ValueInfoProto]:
        """The outputs beside the answer."""
        return [_rows_kept(f"{one.name}_next", one) for one in self.states]

    def _named(self, name: str) -> onnx.TensorProto:
        tensor = onnx.TensorProto()
        tensor.CopyFrom(self._constants[name])
        tensor.name = name
        return tensor

    def _follow(self, node: onnx.NodeProto) -> None:
        streams = [self._values[name] for name in node.input if name in self._values]
        if not streams:
            raise NotInStrips(f"{node.op_type} works on something else than the frame")
        if node.op_type in _TOGETHER and len(streams) > 1:
            self._together(node, streams)
        elif node.op_type in _POINTWISE or (node.op_type in _OVER_CHANNELS and _attribute(node, "axis", -1) == 1) or self._adds_constant(node):
            self._put(node, streams[0], streams[0])
        else:
            rule = _RULES.get(node.op_type)
            if rule is None:
                raise NotInStrips(f"{node.op_type} can't be followed row by row")
            rule(self, node, streams[0])

    def _adds_constant(self, node: onnx.NodeProto) -> bool:
        """Arithmetic with numbers that are the same in every pixel."""
        others = [self._constants[name] for name in node.input if name in self._constants]
        return node.op_type in _TOGETHER - {"Concat"} and all(math.prod(one.dims[-2:]) == 1 for one in others)

    def _put(self, node: onnx.NodeProto, given: _Value, out: _Value, **changed: Any) -> None:
        """The node itself, on `given` in place of its stream; `out` says what its answer is."""
        new = onnx.NodeProto()
        new.CopyFrom(node)
        del new.input[:]
        new.input.extend([given.name if name in self._values else name for name in node.input])
        kept = [one for one in node.attribute if one.name not in changed]
        del new.attribute[:]
        new.attribute.extend([*kept, *(helper.make_attribute(name, value) for name, value in changed.items())])
        self._nodes.append(new)
        self._values[node.output[0]] = _Value(node.output[0], out.step, out.delay, out.channels)

    def _together(self, node: onnx.NodeProto, streams: Sequence[_Value]) -> None:
        if len({one.step for one in streams}) > 1 or (node.op_type == "Concat" and _attribute(node, "axis", 0) != 1):
            raise NotInStrips(f"{node.op_type} of values on different grids")
        latest = max(one.delay for one in streams)
        late = {name: self._late(self._values[name], latest) for name in node.input if name in self._values}
        channels = sum(one.channels for one in streams) if node.op_type == "Concat" else max(one.channels for one in streams)
        new = onnx.NodeProto()
        new.CopyFrom(node)
        del new.input[:]
        new.input.extend([late[name].name if name in late else name for name in node.input])
        self._nodes.append(new)
        self._values[node.output[0]] = _Value(node.output[0], streams[0].step, latest, channels)

    def _late(self, value: _Value, delay: int) -> _Value:
        """The same rows, later."""
        more = delay - value.delay
        if not more:
            return value
        name = self._down_to(self._window(value, more), self._rows(value.step))
        return _Value(name, value.step, delay, value.channels)

    def _window(self, value: _Value, before: int) -> str:
        """A strip with the `before` rows that came before it."""
        if not before:
            return value.name
        state = State(f"state_{len(self.states)}", value.channels, before, value.step)
        self.states.append(state)
        window = self._node("Concat", [state.name, value.name], axis=2)
        self._keep(state, window)
        return window

    def _keep(self, state: State, window: str) -> None:
        """Have the last rows of a window be the state's next value."""
        rows = self._rows(state.step)
        self._slice(window, rows, rows + state.rows, f"{state.name}_next")

    def _down_to(self, window: str, rows: int) -> str:
        """So many rows of a window, from its first on: no more than have all come in."""
        return self._slice(window, 0, rows)

    def _below(self, padded: int) -> int:
        """Rows of zeros below a window, where whole frames are padded by so many."""
        return 0

    def _height(self, value: str, rows: int) -> str:
        """How many rows a value has, which are `rows` where they are known."""
        return self._numbers(np.array([rows]))

    def _row_numbers(self, height: str) -> str:
        scalar = self._numbers(np.array([], np.int64))
        return self._node("Range", [self._scalar(0), self._node("Reshape", [height, scalar]), self._scalar(1)])

    def _inside_only(self, value: _Value) -> _Value:
        """Rows beyond the frame as zeros, which is how a convolution pads."""
        key = (value.step, value.delay)
        if key not in self._inside:
            first = self._node("Sub", [self._divided(FIRST_ROW, value.step), self._numbers(np.array([value.delay]))])
            row = self._node("Add", [self._row_numbers(self._height(value.name, self._rows(value.step))), first])
            begun = self._node("GreaterOrEqual", [row, self._numbers(np.array([0]))])
            goes_on = self._node("Less", [row, self._divided(ROWS, value.step)])
            inside = self._node("And", [begun, goes_on])
            self._inside[key] = self._node("Reshape", [inside, self._numbers(np.array([1, 1, -1, 1]))])
        zero = self._constant(np.zeros((), np.float32))
        return _Value(self._node("Where", [self._inside[key], value.name, zero]), value.step, value.delay, value.channels)

    def _divided(self, name: str, step: int) -> str:
        return self._node("Div", [name, self._numbers(np.array([step]))])

    def _rows(self, step: int) -> int:
        if self._strip % step:
            raise NotInStrips(f"strips of {self._strip} rows, where the network has a row for every {step} of the frame's")
        return self._strip // step

    def _conv(self, node: onnx.NodeProto, value: _Value) -> None:
        weights = self._constants.get(node.input[1])
        if weights is None or _attribute(node, "auto_pad", b"NOTSET") != b"NOTSET":
            raise NotInStrips("a convolution whose weights or padding are not constant")
        size = (weights.dims[2] - 1) * _attribute(node, "dilations", [1, 1])[0] + 1
        self._sliding(node, value, size, int(weights.dims[0]))

    def _pool(self, node: onnx.NodeProto, value: _Value) -> None:
        size = (_attribute(node, "kernel_shape", [0, 0])[0] - 1) * _attribute(node, "dilations", [1, 1])[0] + 1
        if any(_attribute(node, "pads", [0] * 4)) or _attribute(node, "ceil_mode", 0) or size != _attribute(node, "strides", [1, 1])[0]:
            raise NotInStrips(f"a {node.op_type} whose windows overlap or reach beyond the frame")
        self._sliding(node, value, size, value.channels)

    def _sliding(self, node: onnx.NodeProto, value: _Value, size: int, channels: int) -> None:
        """A window of `size` rows that moves by a stride: it needs some rows from before, and is late by those that are still to come."""
        stride = _attribute(node, "strides", [1, 1])[0]
        top, left, bottom, right = _attribute(node, "pads", [0] * 4)
        value = self._late(value, -(-value.delay // stride) * stride)
        behind = -(-(size - stride - top) // stride)
        before = stride * behind + top
        if behind < 0:
            raise NotInStrips(f"a {node.op_type} that looks further back than ahead")
        if size > 1 and node.op_type == "Conv":
            value = self._inside_only(value)
        needed = stride * (self._rows(value.step * stride) - 1) + size
        window = self._down_to(self._window(value, before), needed) if size > 1 or stride > 1 else value.name
        given = _Value(window, value.step, value.delay, value.channels)
        self._put(node, given, _Value("", value.step * stride, value.delay // stride + behind, channels), pads=[0, left, self._below(bottom), right])

    def _resize(self, node: onnx.NodeProto, value: _Value) -> None:
        scales = numpy_helper.to_array(self._constants[node.input[2]]).tolist() if len(node.input) > 2 and node.input[2] in self._constants else []
        mode, grid = _attribute(node, "mode", b"nearest"), _attribute(node, "coordinate_transformation_mode", b"half_pixel")
        times = int(scales[2]) if len(scales) == 4 else 0
        if times < 1 or scales != [1, 1, times, times] or value.step % times:
            raise NotInStrips("a Resize by no whole number, or beyond the frame's own grid")
        if mode == b"nearest" and (grid, _attribute(node, "nearest_mode", b"round_prefer_floor")) in _REPEATS:
            self._put(node, value, _Value("", value.step // times, times * value.delay, value.channels))
            return
        if mode != b"linear" or grid != b"half_pixel":
            raise NotInStrips(f"a Resize that is {mode.decode()} on a grid of {grid.decode()}")
        window = self._window(value, 2)
        height = self._height(window, self._rows(value.step) + 2)
        # Row k of the window is row `first + k`; beyond the frame its first and last row go on.
        first = self._node("Sub", [self._divided(FIRST_ROW, value.step), self._numbers(np.array([value.delay + 2]))])
        row = self._node("Add", [self._row_numbers(height), first])
        last = self._node("Sub", [self._divided(ROWS, value.step), self._numbers(np.array([1]))])
        row = self._node("Max", [self._node("Min", [row, last]), self._numbers(np.array([0]))])
        row = self._node("Sub", [row, first])
        bottom = self._node("Sub", [height, self._numbers(np.array([1]))])
        row = self._node("Max", [self._node("Min", [row, bottom]), self._numbers(np.array([0]))])
        window = self._node("Gather", [window, row], axis=2)
        larger = _Value(window, value.step, value.delay, value.channels)
        self._put(node, larger, _Value("", value.step // times, times * (value.delay + 1), value.channels))
        out = self._values[node.output[0]]
        # The window's first row has no row before it to be weighed with.
        whole = self._slice(out.name, times, _ALL)
        self._values[node.output[0]] = _Value(self._down_to(whole, times * self._rows(value.step)), out.step, out.delay, out.channels)

    def _finer(self, node: onnx.NodeProto, value: _Value) -> None:
        size = _attribute(node, "blocksize", 1)
        if value.step % size:
            raise NotInStrips("a DepthToSpace finer than the frame")
        self._put(node, value, _Value("", value.step // size, value.delay * size, value.channels // size**2))

    def _slice(self, name: str, first: int, end: int, out: str | None = None) -> str:
        return self._node("Slice", [name, *(self._numbers(np.array([number])) for number in (first, end, 2))], out)

    def _node(self, kind: str, inputs: Sequence[str], out: str | None = None, **attributes: Any) -> str:
        self._count += 1
        name = out or f"strip_{self._count}"
        self._nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def _numbers(self, numbers: NDArray[Any]) -> str:
        return self._constant(numbers.astype(np.int64))

    def _scalar(self, number: int) -> str:
        return self._constant(np.array(number, np.int64))

    def _constant(self, array: NDArray[Any]) -> str:
        key = f"strip_{array.dtype}_{'_'.join(map(str, array.reshape(-1).tolist()))}_{array.ndim}"
        self._made.setdefault(key, numpy_helper.from_array(array, key))
        return key


class _LastBuilder(_Builder):
    """After the last strip nothing is still to come: what a layer was late by goes through with it, and below the frame's end are the layer's own zeros."""

    @property
    def _frame_rows(self) -> int | str:
        return "last_rows"

    @property
    def _answer_rows(self) -> int | str:
        return "answer_rows"

    def _kept(self) -> list[onnx.ValueInfoProto]:
        return []

    def _keep(self, state: State, window: str) -> None:
        pass

    def _down_to(self, window: str, rows: int) -> str:
        return window

    def _below(self, padded: int) -> int:
        return padded

    def _height(self, value: str, rows: int) -> str:
        return self._node("Gather", [self._node("Shape", [value]), self._numbers(np.array([2]))], axis=0)


_RULES: dict[str, Callable[[_Builder, onnx.NodeProto, _Value], None]] = {
    "Conv": _Builder._conv,
    "MaxPool": _Builder._pool,
    "AveragePool": _Builder._pool,
    "Resize": _Builder._resize,
    "DepthToSpace": _Builder._finer,
}


def _rows_kept(name: str, state: State) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, state.channels, state.rows, f"columns_{state.step}"])


def _attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    found = next((one for one in node.attribute if one.name == name), None)
    return default if found is None else helper.get_attribute_value(found)
