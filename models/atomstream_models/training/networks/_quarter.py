"""A U-Net at a quarter of the frame's resolution: what the shipped ensembles are made of."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ._blocks import Network, conv_block, enlarge, folding_stem, unfolding_head


class QuarterResolutionUNet(Network):
    """A U-Net (Ronneberger 2015) that works at a quarter of the frame's resolution and answers at the full one.

    As `HalfResolutionUNet`, but with 4x4 pixels in its channels: atoms lie eight pixels or more apart, and two of its own. With twice the filters it has two
    thirds of the arithmetic, on wider and smaller maps, which processors are better at. Rows and columns must be multiples of 8.

    filters : width of the first level; it doubles on the one below
    channels : output channels, background included; the answer is their logits
    """

    downsample = 8

    def __init__(self, filters: int = 32, channels: int = 3) -> None:
        super().__init__()
        f = filters
        self.level1 = nn.Sequential(folding_stem(f, 4), conv_block(f, f))
        self.bottom = nn.Sequential(conv_block(f, 2 * f), conv_block(2 * f, 2 * f, dilation=2), conv_block(2 * f, 2 * f, dilation=4), conv_block(2 * f, 2 * f))
        self.narrow1 = nn.Conv2d(2 * f, f, 1)
        self.up1 = nn.Sequential(conv_block(2 * f, f), conv_block(f, f))
        self.head = unfolding_head(f, channels, 4)
        self.pool = nn.MaxPool2d(2)
        self.enlarge = enlarge()

    def forward(self, frame: Tensor) -> Tensor:
        first = self.level1(frame)
        bottom = self.bottom(self.pool(first))
        first = self.up1(torch.cat([first, self.enlarge(self.narrow1(bottom))], 1))
        logits: Tensor = self.head(first)
        return logits
