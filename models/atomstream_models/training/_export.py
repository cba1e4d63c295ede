"""From a trained network to an ONNX member."""

from __future__ import annotations

import copy
import itertools
import logging
import tempfile
import warnings
from collections.abc import Hashable
from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn.utils import fuse_conv_bn_eval

from .losses import probabilities

_WITHIN = "network."
_templates: dict[Hashable, bytes] = {}
"""Graphs of architectures exported before. Tracing one takes seconds, filling in other weights milliseconds."""


class _WithProbabilities(nn.Module):
    """A network whose answer is class probabilities instead of logits."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, frame: Tensor) -> Tensor:
        return probabilities(self.network(frame))


class _Half(nn.Module):
    """A network that computes in half precision between single-precision ends."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.half()

    def forward(self, frame: Tensor) -> Tensor:
        return probabilities(self.network(frame.half()).float())


def export_member(network: nn.Module, path: Path, *, downsample: int = 8, half: bool = False, alike: Hashable = None) -> None:
    """Write `network`, whose answer is logits, as a bundle member: `frame` [N,1,H,W] in, `probability` [N,C,H,W] out.

    Norms that follow a convolution are folded into it.

    downsample : rows and columns of a frame are multiples of this
    half : compute in half precision; frames and probabilities stay single
    alike : what networks that differ in nothing but their weights have in common; all after the first of them are exported fast
    """
    fused = _fused(network)
    key = None if alike is None else (alike, downsample, half)
    if key is not None and key not in _templates:
        _templates[key] = _traced(_scrambled(fused), downsample, half).SerializeToString()
    model = None if key is None else _filled(_templates[key], fused, half)
    onnx.save(model or _traced(fused, downsample, half), str(path))


def _fused(network: nn.Module) -> nn.Module:
    """A copy in evaluation mode whose norms that follow a convolution are part of it."""
    fused = copy.deepcopy(network).cpu().eval()
    for row in fused.modules():
        if isinstance(row, nn.Sequential):
            parts = list(row.named_children())
            for (name, layer), (next_name, norm) in itertools.pairwise(parts):
                if isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    setattr(row, name, fuse_conv_bn_eval(layer, norm))
                    setattr(row, next_name, nn.Identity())
    return fused


def _traced(network: nn.Module, downsample: int, half: bool) -> onnx.ModelProto:
    example = torch.zeros(1, 1, 8 * downsample, 8 * downsample)
    height, width = torch.export.Dim("h", min=2, max=4096), torch.export.Dim("w", min=2, max=4096)
    # It says at length which libraries it could do without, and warns of its own deprecations.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="atomstream-export-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        path = Path(folder) / "member.onnx"
        torch.onnx.export(
            (_Half(copy.deepcopy(network)) if half else _WithProbabilities(network)).eval(),
            (example,),
            str(path),
            input_names=["frame"],
            output_names=["probability"],
            dynamic_shapes={"frame": {0: torch.export.Dim.DYNAMIC, 2: downsample * height, 3: downsample * width}},
            dynamo=True,
            external_data=False,
            verbose=False,
        )
        model = onnx.load(str(path))
    _strip(model)
    return model


def _scrambled(network: nn.Module) -> nn.Module:
    """A copy whose weights all differ from each other, so that the exporter merges no two of them."""
    scrambled = copy.deepcopy(network)
    generator = torch.Generator().manual_seed(0)
    for value in scrambled.state_dict().values():
        if value.is_floating_point():
            value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
    return scrambled


def _filled(template: bytes, network: nn.Module, half: bool) -> onnx.ModelProto | None:
    """A graph with the weights of a network; None where the exporter has changed some, as it does to norms that it folds itself."""
    model = onnx.ModelProto.FromString(template)
    state = {_WITHIN + name: value for name, value in network.state_dict().items() if value.is_floating_point()}
    for one in model.graph.initializer:
        if one.name in state:
            value = state.pop(one.name)
            one.CopyFrom(numpy_helper.from_array((value.half() if half else value).numpy(), one.name))
    return None if state else model


def _strip(model: onnx.ModelProto) -> None:
    """Drop the exporter's notes, which hold the paths of the machine that trained."""
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    for part in (*model.graph.node, *model.graph.input, *model.graph.output, *model.graph.value_info, *model.graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
