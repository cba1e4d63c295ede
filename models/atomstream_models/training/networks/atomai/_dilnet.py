from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from .._blocks import Network
from ._blocks import ConvBlock, DilatedBlock, UpsampleBlock, Upsampling
from ._start import start_as_atomai


class AtomAIDilnet(Network):
    """AtomAI's `dilnet` (nets/fcnn.py of AtomAI 0.8.1): two sums of dilated convolutions at half the resolution.

    filters : width at the full resolution; twice that at half of it
    channels : output channels, background included; the answer is their logits
    layers : convolutions on the way down, in the two dilated blocks, on the way up
    dropout : drop 30 % of the values in the dilated blocks while training
    upsampling : how feature maps grow on the way up
    """

    downsample = 2

    def __init__(
        self,
        filters: int = 25,
        channels: int = 1,
        *,
        layers: Sequence[int] = (1, 3, 3, 1),
        batch_norm: bool = True,
        dropout: bool = False,
        upsampling: Upsampling = "bilinear",
    ) -> None:
        super().__init__()
        f, (n1, n2, n3, n4) = filters, layers
        share = 0.3 if dropout else 0.0
        self.c1 = ConvBlock(n1, 1, f, norm=batch_norm)
        self.at1 = DilatedBlock(n2, f, 2 * f, norm=batch_norm, dropout=share)
        self.at2 = DilatedBlock(n3, 2 * f, 2 * f, norm=batch_norm, dropout=share)
        self.up1 = UpsampleBlock(2 * f, f, upsampling)
        self.c2 = ConvBlock(n4, 2 * f, f, norm=batch_norm)
        self.px = nn.Conv2d(f, channels, 1)
        start_as_atomai(self)

    def forward(self, frame: Tensor) -> Tensor:
        first = self.c1(frame)
        x = self.at2(self.at1(functional.max_pool2d(first, 2)))
        logits: Tensor = self.px(self.c2(torch.cat([first, self.up1(x)], 1)))
        return logits
