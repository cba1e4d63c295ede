"""A U-Net at half the frame's resolution."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ._blocks import Network, conv_block, enlarge, folding_stem, unfolding_head


class HalfResolutionUNet(Network):
    """A U-Net (Ronneberger 2015) that works at half the frame's resolution and answers at the full one.

    The stem folds 2x2 pixels into channels, and the head unfolds them again. So no pixel is lost, and the widest feature maps have a quarter of the
    area. A dilated bottleneck sees about ten lattice spacings. Rows and columns must be multiples of 8.

    filters : width of the first level; it doubles on each of the two levels below
    channels : output channels, background included; the answer is their logits
    """

    downsample = 8

    def __init__(self, filters: int = 16, channels: int = 3) -> None:
        super().__init__()
        f = filters
        self.level1 = nn.Sequential(folding_stem(f, 2), conv_block(f, f))
        self.level2 = nn.Sequential(conv_block(f, 2 * f), conv_block(2 * f, 2 * f))
        self.bottom = nn.Sequential(
            conv_block(2 * f, 4 * f), conv_block(4 * f, 4 * f, dilation=2), conv_block(4 * f, 4 * f, dilation=4), conv_block(4 * f, 4 * f)
        )
        self.narrow2 = nn.Conv2d(4 * f, 2 * f, 1)
        self.up2 = nn.Sequential(conv_block(4 * f, 2 * f), conv_block(2 * f, 2 * f))
        self.narrow1 = nn.Conv2d(2 * f, f, 1)
        self.up1 = nn.Sequential(conv_block(2 * f, f), conv_block(f, f))
        self.head = unfolding_head(f, channels, 2)
        self.pool = nn.MaxPool2d(2)
        self.enlarge = enlarge()

    def forward(self, frame: Tensor) -> Tensor:
        first = self.level1(frame)
        second = self.level2(self.pool(first))
        bottom = self.bottom(self.pool(second))
        second = self.up2(torch.cat([second, self.enlarge(self.narrow2(bottom))], 1))
        first = self.up1(torch.cat([first, self.enlarge(self.narrow1(second))], 1))
        logits: Tensor = self.head(first)
        return logits
