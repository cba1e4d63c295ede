"""From ONNX models that somebody else exported to a bundle."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from ...bundle import Card, MemberSource
from ...errors import InputError
from ...runtime import LoadedEnsemble
from ._about import About, Background, Origin, member_id, sources_of
from ._bundle import golden_frames, make_bundle, refuse_taken

Activation = Literal["sigmoid", "softmax", "none"]
"""What makes probabilities of a model's answer: nothing where it holds them already."""

_OPERATORS: dict[Activation, tuple[str, dict[str, Any]]] = {"none": ("Identity", {}), "sigmoid": ("Sigmoid", {}), "softmax": ("Softmax", {"axis": 1})}
_SLACK = 1e-4
_SOFTMAX_OF_ONE_AXIS = 13
"""The operator set from which ONNX's Softmax is one over the channels alone."""


def import_onnx(
    paths: Sequence[Path],
    out: Path,
    *,
    name: str,
    version: str,
    classes: Sequence[str],
    pixel_size_nm: tuple[float, float] | None,
    normalization: str,
    threshold: float | None = None,
    activation: Activation = "none",
    background: Background | None = None,
    downsample: int = 8,
    origin: Origin = "simulated",
    license: str = "",  # noqa: A002
    golden: Sequence[NDArray[Any]] = (),
) -> Card:
    """Make a bundle of ONNX models with one input, float32 [N, 1, H, W], and one output, float32 [N, C, H, W]; returns its card.

    Their input and output may have any names. Rows and columns must not be fixed.

    paths : ONNX files, a member each
    normalization : what the models want: `minmax`, `robust` or `none`
    activation : what makes probabilities of their answers
    background : None takes the last channel for the background where there is one more than there are classes
    downsample : frames are padded to multiples of this
    others : as for `import_checkpoints`

    Raises
    ------
    InputError
        for a model whose input, output or answers are not of this kind, naming what is wrong.
    BundleError
        where a model is not allowed in a bundle or the card would not be valid.
    """
    refuse_taken(out)
    if not paths:
        raise InputError("no ONNX model was given")
    models = [_load(path) for path in paths]
    channels = _channels(models[0], paths[0])
    about = About(name, version, tuple(classes), pixel_size_nm, normalization, origin, license)
    card = about.card(
        channels,
        background=background or ("last" if channels == len(classes) + 1 else "none"),
        downsample=downsample,
        threshold=0.5 if threshold is None else threshold,
        training=sources_of(paths, "ONNX", {member_id(k): _note(path, model, activation) for k, (path, model) in enumerate(zip(paths, models, strict=True))}),
    )
    frames = golden_frames(golden, pixel_size_nm)

    def check(ensemble: LoadedEnsemble, tensor: NDArray[np.float32]) -> None:
        for path, answer in zip(paths, ensemble.run(tensor, ensemble.card.member_ids), strict=True):
            _check_answer(path, answer, tensor)

    with tempfile.TemporaryDirectory() as scratch:
        sources = []
        for k, (path, model) in enumerate(zip(paths, models, strict=True)):
            wrapped = Path(scratch) / f"{member_id(k)}.onnx"
            # Not onnx.save, which would write to the places that a model names for its weights.
            wrapped.write_bytes(_wrapped(path, model, activation).SerializeToString())
            sources.append(MemberSource(member_id(k), wrapped, path.stem))
        return make_bundle(out, card, sources, frames, check)


def _load(path: Path) -> onnx.ModelProto:
    try:
        model = onnx.load(str(path), load_external_data=False)
    except OSError as error:
        raise InputError(f"{path} can't be read: {error}") from error
    except Exception as error:  # onnx raises protobuf's own errors, which it does not document
        raise InputError(f"{path.name} is not an ONNX file: {error}") from error
    weights = {one.name for one in model.graph.initializer}
    inputs = [one for one in model.graph.input if one.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    _check_ports(path, model)
    return model


def _check_ports(path: Path, model: onnx.ModelProto) -> None:
    """Raises `InputError` naming the input or output that is not as it must be."""
    for direction, ports, wanted in (("input", model.graph.input, "[N, 1, H, W]"), ("output", model.graph.output, "[N, C, H, W]")):
        if len(ports) != 1:
            raise InputError(f"{path.name} has {len(ports)} {direction}s, {', '.join(port.name for port in ports)}; one is wanted")
        tensor = ports[0].type.tensor_type
        dims = [dim.dim_value or dim.dim_param or "?" for dim in tensor.shape.dim]
        said = f"{path.name}: {direction} {ports[0].name!r} is {TensorProto.DataType.Name(tensor.elem_type).lower()} {dims}"
        if tensor.elem_type != TensorProto.FLOAT:
            raise InputError(f"{said}, wanted float32; export it in single precision")
        if len(dims) != 4 or (direction == "input" and dims[1] != 1) or not isinstance(dims[1], int):
            raise InputError(f"{said}, wanted {wanted}")
        if any(isinstance(dim, int) for dim in dims[2:]):
            raise InputError(f"{said}: its rows and columns are fixed, but frames come in any size; export it with dynamic axes")
        if isinstance(dims[0], int) and dims[0] != 1:
            raise InputError(f"{said}: it takes {dims[0]} frames at once, but frames come one by one")


def _channels(model: onnx.ModelProto, path: Path) -> int:
    return int(model.graph.output[0].type.tensor_type.shape.dim[1].dim_value)


def _wrapped(path: Path, model: onnx.ModelProto, activation: Activation) -> onnx.ModelProto:
    """The model with input `frame` and output `probability`, and the activation at its end."""
    frame, answer = model.graph.input[0].name, model.graph.output[0].name
    if (frame, answer, activation) == ("frame", "probability", "none"):
        return model
    opset = next((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), 0)
    if activation == "softmax" and opset < _SOFTMAX_OF_ONE_AXIS:
        raise InputError(f"{path.name} is of ONNX operator set {opset}; a softmax can be appended from {_SOFTMAX_OF_ONE_AXIS} on: export it anew")
    wrapped = onnx.compose.add_prefix(model, "wrapped/")
    graph = wrapped.graph
    graph.input[0].name, graph.output[0].name = "frame", "probability"
    operator, options = _OPERATORS[activation]
    last = helper.make_node(operator, [f"wrapped/{answer}"], ["probability"], **options)
    nodes = [helper.make_node("Identity", ["frame"], [f"wrapped/{frame}"]), *graph.node, last]
    del graph.node[:]
    graph.node.extend(nodes)
    return wrapped


def _check_answer(path: Path, answer: NDArray[np.float32], tensor: NDArray[np.float32]) -> None:
    low, high = float(answer.min()), float(answer.max())
    if answer.shape[1:] != tensor.shape[2:]:
        raise InputError(f"{path.name} answers a frame of {list(tensor.shape[2:])} with maps of {list(answer.shape[1:])}; they must have the frame's size")
    if not (low >= -_SLACK and high <= 1 + _SLACK):
        raise InputError(f"{path.name} answers from {low:.3g} to {high:.3g}, which are no probabilities; --activation sigmoid or softmax makes them such")


def _note(path: Path, model: onnx.ModelProto, activation: Activation) -> dict[str, Any]:
    return {"file": path.name, "producer": f"{model.producer_name} {model.producer_version}".strip(), "activation": activation}
