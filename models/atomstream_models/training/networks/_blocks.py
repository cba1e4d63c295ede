"""Pieces that the networks share."""

from __future__ import annotations

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
