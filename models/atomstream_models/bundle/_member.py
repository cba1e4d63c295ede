"""Whether an ONNX file is a member that may be run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx

from ._card import Card
from ._errors import BundleError
from ._operators import check_operators


def check_member(path: Path, card: Card) -> None:
    """Check one member's graph without running it.

    Its weights must be inside the file, its operators among `OPERATORS`, its input `frame` float32 [N, 1, H, W] and
    its output `probability` float32 [N, channels, H, W].

    Raises
    ------
    BundleError
        saying which of these does not hold.
    """
    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # onnx raises protobuf's own errors, which it does not document
        raise BundleError("member", f"{path.name} is not an ONNX file: {error}") from error
    check_operators(model, path.name)
    for tensor in _tensors(model.graph):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise BundleError("member", f"{path.name}: weight {tensor.name!r} lies outside the file")
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # the checker and shape inference raise several undocumented types
        raise BundleError("member", f"{path.name} fails the ONNX checker: {str(error)[:500]}") from error
    _check_port(model.graph.input, "input", "frame", 1, path.name)
    _check_port(model.graph.output, "output", "probability", card.channels, path.name)


def _check_port(ports: object, direction: str, wanted: str, channels: int, name: str) -> None:
    found = list(ports)  # type: ignore[call-overload]
    if [port.name for port in found] != [wanted]:
        raise BundleError("member", f"{name}: {direction}s are {[port.name for port in found]}, wanted [{wanted!r}]")
    tensor = found[0].type.tensor_type
    dims = [dim.dim_value or dim.dim_param or "?" for dim in tensor.shape.dim]
    if tensor.elem_type != onnx.TensorProto.FLOAT or len(dims) != 4 or dims[1] != channels:
        raise BundleError("member", f"{name}: {direction} {wanted!r} is {dims}, wanted float32 [N, {channels}, H, W]")


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Every tensor of a graph whose nodes hold no graphs themselves."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            yield from ([attribute.t] if attribute.HasField("t") else [])
            yield from attribute.tensors
            for one in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (one.values, one.indices)
