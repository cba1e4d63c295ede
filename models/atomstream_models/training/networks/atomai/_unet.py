from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from .._blocks import Network
from ._blocks import ConvBlock, DilatedBlock, UpsampleBlock, Upsampling
from ._start import start_as_atomai


class AtomAIUnet(Network):
    """AtomAI's `Unet` (nets/fcnn.py of AtomAI 0.8.1): same state dict, same numbers, started as its ensemble trainer starts members.

    filters : width of the first level; it doubles on each of the three levels below
    channels : output channels, background included; the answer is their logits
    layers : convolutions on the four levels
    dropout : drop 10, 20 and 10 % of the values around the bottleneck while training
    upsampling : how feature maps grow on the way up
    with_dilation : whether the bottleneck is a sum of dilated convolutions
    """

    downsample = 8

    def __init__(
        self,
        filters: int = 16,
        channels: int = 1,
        *,
        layers: Sequence[int] = (1, 2, 2, 3),
        batch_norm: bool = True,
        dropout: bool = False,
        upsampling: Upsampling = "bilinear",
        with_dilation: bool = False,
    ) -> None:
        super().__init__()
        f, (n1, n2, n3, n4) = filters, layers
        around, inside = (0.1, 0.2) if dropout else (0.0, 0.0)
        bottleneck = DilatedBlock if with_dilation else ConvBlock
        self.c1 = ConvBlock(n1, 1, f, norm=batch_norm)
        self.c2 = ConvBlock(n2, f, 2 * f, norm=batch_norm)
        self.c3 = ConvBlock(n3, 2 * f, 4 * f, norm=batch_norm, dropout=around)
        self.bn = bottleneck(n4, 4 * f, 8 * f, norm=batch_norm, dropout=inside)
        self.upsample_block1 = UpsampleBlock(8 * f, 4 * f, upsampling)
        self.c4 = ConvBlock(n3, 8 * f, 4 * f, norm=batch_norm, dropout=around)
        self.upsample_block2 = UpsampleBlock(4 * f, 2 * f, upsampling)
        self.c5 = ConvBlock(n2, 4 * f, 2 * f, norm=batch_norm)
        self.upsample_block3 = UpsampleBlock(2 * f, f, upsampling)
        self.c6 = ConvBlock(n1, 2 * f, f, norm=batch_norm)
        self.px = nn.Conv2d(f, channels, 1)
        start_as_atomai(self)

    def forward(self, frame: Tensor) -> Tensor:
        first = self.c1(frame)
        second = self.c2(functional.max_pool2d(first, 2))
        third = self.c3(functional.max_pool2d(second, 2))
        x = self.bn(functional.max_pool2d(third, 2))
        x = self.c4(torch.cat([third, self.upsample_block1(x)], 1))
        x = self.c5(torch.cat([second, self.upsample_block2(x)], 1))
        x = self.c6(torch.cat([first, self.upsample_block3(x)], 1))
        logits: Tensor = self.px(x)
        return logits
