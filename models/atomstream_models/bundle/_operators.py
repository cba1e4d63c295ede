"""Which ONNX operators a member may use."""

from __future__ import annotations

import onnx

from ._errors import BundleError

_MAX_OPSET = 23

_GROUPS = (
    "Conv ConvTranspose Gemm MatMul Einsum",
    "BatchNormalization GroupNormalization InstanceNormalization LayerNormalization LpNormalization LRN MeanVarianceNormalization RMSNormalization",
    "Celu Elu Gelu HardSigmoid HardSwish LeakyRelu LogSoftmax Mish PRelu Relu Selu Sigmoid Softmax Softplus Softsign Tanh ThresholdedRelu",
    "AveragePool GlobalAveragePool GlobalLpPool GlobalMaxPool LpPool MaxPool",
    "DepthToSpace GridSample Resize SpaceToDepth Upsample",
    "Concat Expand Flatten Gather GatherElements GatherND Identity Pad Reshape ScatterND Shape Size Slice Split Squeeze Tile Transpose Unsqueeze",
    "Cast CastLike Constant ConstantOfShape DequantizeLinear QuantizeLinear Range",
    "Abs Add Ceil Clip Cos Div Erf Exp Floor Log Max Mean Min Mod Mul Neg Pow Reciprocal Round Sign Sin Sqrt Sub Sum",
    "And Equal Greater GreaterOrEqual Less LessOrEqual Not Or Where Xor",
    "ArgMax ArgMin CumSum ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare",
)

OPERATORS = frozenset(name for group in _GROUPS for name in group.split())
"""What networks that segment images are made of.

Left out on purpose: control flow (If, Loop, Scan), which can run for ever and can't be part of a CUDA graph; everything random, Dropout with
it, because a frame must give the same atoms each time; answers whose shape depends on values (NonZero, TopK, Unique, ...), which halt a GPU;
strings, sequences, optionals and whatever reads files (ImageDecoder)."""


def check_operators(model: onnx.ModelProto, name: str) -> None:
    """Check that a graph is made of operators that a member may use, without looking at anything else.

    name : what to call the member in the error

    Raises
    ------
    BundleError
        of the check `member`, naming the operator or the operator set.
    """
    for opset in model.opset_import:
        if opset.domain not in ("", "ai.onnx") or opset.version > _MAX_OPSET:
            raise BundleError("member", f"{name}: operator set {opset.domain or 'ai.onnx'} {opset.version} is not allowed")
    if model.functions:
        raise BundleError("member", f"{name}: brings functions of its own")
    if model.training_info:
        raise BundleError("member", f"{name}: brings graphs for training")
    for node in model.graph.node:
        if node.domain not in ("", "ai.onnx"):
            raise BundleError("member", f"{name}: operator {node.domain}.{node.op_type} is not ONNX's own")
        if node.op_type not in OPERATORS:
            raise BundleError("member", f"{name}: operator {node.op_type} is not among those that a member may use")
        if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
            raise BundleError("member", f"{name}: operator {node.op_type} holds a graph of its own")
