"""Mean and standard deviation as a network of their own, so that they come from the device that holds the members' maps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

_OPSET = 18
_AXIS = "over_members"


def mean_std_network(members: int, channels: int, shape: tuple[int, int]) -> bytes:
    """An ONNX model of what `combine.mean_std` computes, over those members that are in use.

    Inputs: `maps` (members, channels, rows, columns); `used` (members, 1, 1, 1), bool; `share` (members, 1, 1, 1), one over the number of
    those in use. Outputs: `mean`, `std` (channels, rows, columns). What is not in use may hold anything, NaN too. The mean is taken off before squaring.
    """
    maps, one, out = [members, channels, *shape], [members, 1, 1, 1], [channels, *shape]
    nodes = [
        helper.make_node("Where", ["used", "maps", "zero"], ["known"]),
        helper.make_node("Mul", ["known", "share"], ["parts"]),
        helper.make_node("ReduceSum", ["parts", _AXIS], ["mean"], keepdims=0),
        helper.make_node("Sub", ["known", "mean"], ["apart"]),
        helper.make_node("Mul", ["apart", "apart"], ["squares"]),
        helper.make_node("Where", ["used", "squares", "zero"], ["known_squares"]),
        helper.make_node("Mul", ["known_squares", "share"], ["square_parts"]),
        helper.make_node("ReduceSum", ["square_parts", _AXIS], ["variance"], keepdims=0),
        helper.make_node("Sqrt", ["variance"], ["std"]),
    ]
    graph = helper.make_graph(
        nodes,
        "mean_std",
        [
            helper.make_tensor_value_info("maps", TensorProto.FLOAT, maps),
            helper.make_tensor_value_info("used", TensorProto.BOOL, one),
            helper.make_tensor_value_info("share", TensorProto.FLOAT, one),
        ],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, out) for name in ("mean", "std")],
        [helper.make_tensor("zero", TensorProto.FLOAT, [], [0.0]), helper.make_tensor(_AXIS, TensorProto.INT64, [1], [0])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def use_of(members: Sequence[bool]) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """The network's `used` and `share` for some of the members."""
    used = np.array(members, np.bool_).reshape(-1, 1, 1, 1)
    return used, np.full(used.shape, 1 / max(1, used.sum()), np.float32)
