"""From a trained network to an ONNX member."""

from __future__ import annotations

from pathlib import Path

import onnx
import torch
from torch import Tensor, nn


class _WithProbabilities(nn.Module):
    """A network whose answer is class probabilities instead of logits."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, frame: Tensor) -> Tensor:
        return torch.softmax(self.network(frame), dim=1)


def export_member(network: nn.Module, path: Path) -> None:
    """Write `network` as a bundle member: `frame` [N,1,H,W] in, `probability` [N,C,H,W] out, norms folded away."""
    example = torch.zeros(1, 1, 64, 64)
    height, width = torch.export.Dim("h", min=2, max=4096), torch.export.Dim("w", min=2, max=4096)
    torch.onnx.export(
        _WithProbabilities(network).eval(),
        (example,),
        str(path),
        input_names=["frame"],
        output_names=["probability"],
        dynamic_shapes={"frame": {0: torch.export.Dim.DYNAMIC, 2: 8 * height, 3: 8 * width}},
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    _strip(path)


def _strip(path: Path) -> None:
    """Drop the exporter's notes, which hold the paths of the machine that trained."""
    model = onnx.load(str(path))
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    for part in (*model.graph.node, *model.graph.input, *model.graph.output, *model.graph.value_info, *model.graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    onnx.save(model, str(path))
