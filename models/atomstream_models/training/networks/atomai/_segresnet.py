from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from .._blocks import Network
from ._blocks import ConvBlock, ResModule, UpsampleBlock, Upsampling
from ._start import start_as_atomai


class AtomAISegResNet(Network):
    """AtomAI's `SegResNet` (nets/fcnn.py of AtomAI 0.8.1): a U-shaped network of residual blocks.

    filters : width of the first level; it doubles on each of the two levels below
    channels : output channels, background included; the answer is their logits
    layers : residual blocks on the way down, at the bottom, on the way up
    upsampling : how feature maps grow on the way up
    """

    downsample = 4

    def __init__(
        self,
        filters: int = 32,
        channels: int = 1,
        *,
        layers: Sequence[int] = (2, 2, 2),
        batch_norm: bool = True,
        upsampling: Upsampling = "bilinear",
    ) -> None:
        super().__init__()
        f, (n1, n2, n3) = filters, layers
        self.c1 = ConvBlock(1, 1, f, norm=batch_norm)
        self.c2 = ResModule(n1, f, 2 * f, norm=batch_norm)
        self.bn = ResModule(n2, 2 * f, 4 * f, norm=batch_norm)
        self.upsample_block1 = UpsampleBlock(4 * f, 2 * f, upsampling)
        self.c3 = ResModule(n3, 4 * f, 2 * f, norm=batch_norm)
        self.upsample_block2 = UpsampleBlock(2 * f, f, upsampling)
        self.c4 = ConvBlock(1, 2 * f, f, norm=batch_norm)
        self.px = nn.Conv2d(f, channels, 1)
        start_as_atomai(self)

    def forward(self, frame: Tensor) -> Tensor:
        first = self.c1(frame)
        second = self.c2(functional.max_pool2d(first, 2))
        x = self.bn(functional.max_pool2d(second, 2))
        x = self.c3(torch.cat([second, self.upsample_block1(x)], 1))
        logits: Tensor = self.px(self.c4(torch.cat([first, self.upsample_block2(x)], 1)))
        return logits
