"""Members' files made ready for a device: one shape, and half as many bits where asked for."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

from ._simpler import simplify

_EXACT = ("Sigmoid", "Softmax", "Exp", "ReduceSum", "ReduceMean", "Div")
"""Near a probability of 1, neighbouring numbers of 16 bits lie 5e-4 apart, which would show in the std maps."""


def static_member(file: Path, shape: tuple[int, int], *, half: bool, simpler: bool) -> bytes:
    """A member's network for frames (1, 1, rows, columns) alone, which a CUDA graph needs.

    simpler : in operations that are quick on a GPU, for whoever does not choose its own
    half : compute with 16 bits between the first layer and the last; frames and probabilities keep 32
    """
    model = onnx.load(str(file))
    frame = model.graph.input[0].type.tensor_type.shape
    for side, size in zip(frame.dim, (1, 1, *shape), strict=True):
        side.dim_value = size
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    del model.graph.value_info[:]
    model = onnx.shape_inference.infer_shapes(model)
    if simpler:
        simplify(model)
        model = onnx.shape_inference.infer_shapes(model)
    if half:
        model = convert_float_to_float16(model, keep_io_types=True, op_block_list=[*DEFAULT_OP_BLOCK_LIST, *_EXACT])
    return bytes(model.SerializeToString())
