from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from ._blocks import Upsampling
from ._dilnet import AtomAIDilnet
from ._reshednet import AtomAIResHedNet
from ._segresnet import AtomAISegResNet
from ._unet import AtomAIUnet

AtomAIKind = Literal["Unet", "dilnet", "ResHedNet", "SegResNet"]
"""AtomAI's own names of its segmentation networks."""

AtomAINetwork = AtomAIUnet | AtomAIDilnet | AtomAIResHedNet | AtomAISegResNet


@dataclass(frozen=True)
class AtomAISettings:
    """One of AtomAI's segmentation networks.

    channels : output channels, background included (AtomAI's nb_classes)
    filters : width of the first level (nb_filters)
    layers : layers of each block
    batch_norm, dropout, with_dilation : options that not every kind has; False where it has none
    upsampling : how feature maps grow on the way up
    """

    kind: AtomAIKind
    channels: int
    filters: int
    layers: tuple[int, ...]
    batch_norm: bool = True
    dropout: bool = False
    upsampling: Upsampling = "bilinear"
    with_dilation: bool = False

    def __str__(self) -> str:
        options = {"no batch norm": not self.batch_norm, "dropout": self.dropout, "nearest": self.upsampling == "nearest", "dilated": self.with_dilation}
        words = [f"AtomAI {self.kind}", f"filters={self.filters}", f"layers={','.join(map(str, self.layers))}"]
        return " ".join([*words, *(word for word, holds in options.items() if holds)])


def build_atomai(settings: AtomAISettings) -> AtomAINetwork:
    """The network with fresh weights from torch's global generator; its answer is logits [N, channels, H, W]."""
    s = settings
    match s.kind:
        case "Unet":
            return AtomAIUnet(
                s.filters, s.channels, layers=s.layers, batch_norm=s.batch_norm, dropout=s.dropout, upsampling=s.upsampling, with_dilation=s.with_dilation
            )
        case "dilnet":
            return AtomAIDilnet(s.filters, s.channels, layers=s.layers, batch_norm=s.batch_norm, dropout=s.dropout, upsampling=s.upsampling)
        case "ResHedNet":
            return AtomAIResHedNet(s.filters, s.channels, layers=s.layers, upsampling=s.upsampling)
        case "SegResNet":
            return AtomAISegResNet(s.filters, s.channels, layers=s.layers, batch_norm=s.batch_norm, upsampling=s.upsampling)


def shapes_of(settings: AtomAISettings) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors that a network of these settings holds, without allocating them."""
    with torch.device("meta"):
        return {name: tuple(tensor.shape) for name, tensor in build_atomai(settings).state_dict().items()}
