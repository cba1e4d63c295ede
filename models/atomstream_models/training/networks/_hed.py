from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ._blocks import Network, ResidualBlock, conv_block


class HEDNet(Network):
    """A residual network that answers on three scales and weighs the answers against each other (after Xie & Tu 2015, HED).

    filters : width of the first scale; it doubles on each of the two scales below
    channels : output channels, background included; the answer is their logits
    """

    downsample = 4

    def __init__(self, filters: int = 16, channels: int = 1) -> None:
        super().__init__()
        f = filters
        self.scale1 = nn.Sequential(conv_block(1, f), ResidualBlock(f, f))
        self.scale2 = nn.Sequential(ResidualBlock(f, 2 * f), ResidualBlock(2 * f, 2 * f))
        self.scale3 = nn.Sequential(ResidualBlock(2 * f, 4 * f), ResidualBlock(4 * f, 4 * f), ResidualBlock(4 * f, 4 * f))
        self.side = nn.ModuleList(conv_block(width, f) for width in (f, 2 * f, 4 * f))
        self.fuse = nn.Sequential(conv_block(3 * f, f), nn.Conv2d(f, channels, 1))
        self.pool = nn.MaxPool2d(2)

    def forward(self, frame: Tensor) -> Tensor:
        first = self.scale1(frame)
        second = self.scale2(self.pool(first))
        third = self.scale3(self.pool(second))
        sides = [self.side[0](first)]
        for factor, side, x in ((2.0, self.side[1], second), (4.0, self.side[2], third)):
            sides.append(functional.interpolate(side(x), scale_factor=factor, mode="bilinear", align_corners=False))
        logits: Tensor = self.fuse(torch.cat(sides, 1))
        return logits
