"""Pieces that the networks share."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class Network(nn.Module):
    """A network that takes normalised frames [N, 1, H, W] and answers logits [N, channels, H, W].

    downsample : rows and columns must be multiples of this
    """

    downsample: int


def conv_block(inputs: int, outputs: int, dilation: int = 1) -> nn.Sequential:
    """Convolution, norm, activation, in this order: the norm folds into the convolution for inference."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=dilation, dilation=dilation, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def conv_blocks(inputs: int, outputs: int, count: int = 2) -> nn.Sequential:
    """`count` blocks in a row."""
    return nn.Sequential(*(conv_block(inputs if k == 0 else outputs, outputs) for k in range(count)))


def folding_stem(outputs: int, pixels: int) -> nn.Sequential:
    """A space-to-depth step that folds `pixels` x `pixels` into channels and a 3x3 convolution, in one convolution."""
    convolution = nn.Conv2d(1, outputs, 3 * pixels, stride=pixels, padding=pixels, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def unfolding_head(inputs: int, channels: int, pixels: int) -> nn.Sequential:
    """The last convolution and the step that unfolds its channels into `pixels` x `pixels` (Shi 2016). It begins by answering background for four pixels
    in five (Lin 2017, section 4.1).

    From an undecided start a narrow network may learn features of the background alone, and none that speaks for atoms.
    """
    last = nn.Conv2d(inputs, pixels**2 * channels, 1)
    bias = torch.zeros(channels, pixels**2)
    bias[-1] = -math.log(4) if channels == 1 else math.log(4 * (channels - 1))
    with torch.no_grad():
        last.bias = nn.Parameter(bias.reshape(-1))
    return nn.Sequential(last, nn.PixelShuffle(pixels))


def enlarge() -> nn.Upsample:
    """Twice the rows and columns."""
    return nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)


class ResidualBlock(nn.Module):
    """Two convolutions around which the input passes by (He 2016); both norms fold away."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = conv_block(inputs, outputs)
        self.second = nn.Sequential(nn.Conv2d(outputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs))
        self.past = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.activation(self.past(x) + self.second(self.first(x)))
        return out
