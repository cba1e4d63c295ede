from __future__ import annotations

import torch
from torch import Tensor, nn

from ._blocks import Network, conv_block, conv_blocks, enlarge


class UNet(Network):
    """A U-Net (Ronneberger 2015) whose norms all fold away for inference.

    filters : width of the first level; it doubles on each level below
    depth : poolings; rows and columns must be multiples of 2**depth
    channels : output channels, background included; the answer is their logits
    dilated : whether the bottleneck's convolutions widen their reach (1, 2, 4, 8), which sees as far as two levels more
    """

    def __init__(self, filters: int = 16, depth: int = 3, channels: int = 1, *, dilated: bool = False) -> None:
        super().__init__()
        widths = [filters * 2**k for k in range(depth + 1)]
        self.downsample = 2**depth
        self.down = nn.ModuleList(conv_blocks(1 if k == 0 else widths[k - 1], widths[k]) for k in range(depth))
        reaches = (1, 2, 4, 8) if dilated else (1, 1)
        self.bottom = nn.Sequential(*(conv_block(widths[-2] if k == 0 else widths[-1], widths[-1], reach) for k, reach in enumerate(reaches)))
        self.narrow = nn.ModuleList(nn.Conv2d(widths[k + 1], widths[k], 1) for k in reversed(range(depth)))
        self.up = nn.ModuleList(conv_blocks(2 * widths[k], widths[k]) for k in reversed(range(depth)))
        self.head = nn.Conv2d(filters, channels, 1)
        self.pool = nn.MaxPool2d(2)
        self.enlarge = enlarge()

    def forward(self, frame: Tensor) -> Tensor:
        x, kept = frame, []
        for level in self.down:
            kept.append(level(x))
            x = self.pool(kept[-1])
        x = self.bottom(x)
        for narrow, level in zip(self.narrow, self.up, strict=True):
            x = level(torch.cat([kept.pop(), self.enlarge(narrow(x))], 1))
        logits: Tensor = self.head(x)
        return logits
