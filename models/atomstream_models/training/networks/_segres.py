from __future__ import annotations

from torch import Tensor, nn

from ._blocks import Network, ResidualBlock, conv_block, enlarge


class SegResNet(Network):
    """A residual encoder and decoder that add, rather than concatenate, what they pass across (after Myronenko 2018).

    filters : width of the first level; it doubles on each of the two levels below
    channels : output channels, background included; the answer is their logits
    """

    downsample = 4

    def __init__(self, filters: int = 16, channels: int = 1) -> None:
        super().__init__()
        f = filters
        self.stem = conv_block(1, f)
        self.level1 = ResidualBlock(f, f)
        self.level2 = nn.Sequential(ResidualBlock(f, 2 * f), ResidualBlock(2 * f, 2 * f))
        self.bottom = nn.Sequential(ResidualBlock(2 * f, 4 * f), ResidualBlock(4 * f, 4 * f))
        self.narrow2 = nn.Conv2d(4 * f, 2 * f, 1)
        self.up2 = ResidualBlock(2 * f, 2 * f)
        self.narrow1 = nn.Conv2d(2 * f, f, 1)
        self.up1 = ResidualBlock(f, f)
        self.head = nn.Conv2d(f, channels, 1)
        self.pool = nn.MaxPool2d(2)
        self.enlarge = enlarge()

    def forward(self, frame: Tensor) -> Tensor:
        first = self.level1(self.stem(frame))
        second = self.level2(self.pool(first))
        bottom = self.bottom(self.pool(second))
        second = self.up2(second + self.enlarge(self.narrow2(bottom)))
        logits: Tensor = self.head(self.up1(first + self.enlarge(self.narrow1(second))))
        return logits
