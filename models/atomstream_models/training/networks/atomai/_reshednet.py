from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from .._blocks import Network
from ._blocks import ResModule, Upsampling
from ._start import start_as_atomai


def _score(inputs: int, channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, channels, 1), nn.BatchNorm2d(channels))


class AtomAIResHedNet(Network):
    """AtomAI's `ResHedNet` (nets/fcnn.py of AtomAI 0.8.1): a residual network whose three scales answer each for itself, then together.

    filters : width of the first scale; it doubles on each of the two scales below
    channels : output channels, background included; the answer is their logits
    layers : residual blocks of the three scales
    upsampling : how the answers of the lower scales grow
    """

    downsample = 4

    def __init__(self, filters: int = 64, channels: int = 1, *, layers: Sequence[int] = (3, 4, 5), upsampling: Upsampling = "bilinear") -> None:
        super().__init__()
        f, (n1, n2, n3) = filters, layers
        self.upsampling = upsampling
        self.net1 = ResModule(n1, 1, f, norm=True)
        self.net2 = nn.Sequential(nn.MaxPool2d(2), ResModule(n2, f, 2 * f, norm=True))
        self.net3 = nn.Sequential(nn.MaxPool2d(2), ResModule(n3, 2 * f, 4 * f, norm=True))
        self.net1score = _score(f, channels)
        self.net2score = _score(2 * f, channels)
        self.net3score = _score(4 * f, channels)
        self.out = nn.Conv2d(3 * channels, channels, 1)
        start_as_atomai(self)

    def forward(self, frame: Tensor) -> Tensor:
        first = self.net1(frame)
        second = self.net2(first)
        third = self.net3(second)
        scores = [self.net1score(first)]
        for factor, score in ((2.0, self.net2score(second)), (4.0, self.net3score(third))):
            scores.append(functional.interpolate(score, scale_factor=factor, mode=self.upsampling))
        logits: Tensor = self.out(torch.cat(scores, 1))
        return logits
