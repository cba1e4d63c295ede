"""The pieces of AtomAI's networks (nets/blocks.py of AtomAI 0.8.1), with its names in the state dict.

AtomAI normalises after the activation, so that its norms can't be folded into the convolution before them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

Upsampling = Literal["bilinear", "nearest"]
"""How feature maps grow on the way up."""

_SLOPE = 0.01


def _layer(inputs: int, outputs: int, dilation: int, norm: bool, dropout: float) -> list[nn.Module]:
    layer: list[nn.Module] = [nn.Conv2d(inputs, outputs, 3, padding=dilation, dilation=dilation)]
    if dropout > 0:
        layer.append(nn.Dropout(dropout))
    layer.append(nn.LeakyReLU(_SLOPE))
    if norm:
        layer.append(nn.BatchNorm2d(outputs))
    return layer


def _layers(inputs: int, outputs: int, dilations: Sequence[int], norm: bool, dropout: float) -> nn.Sequential:
    widths = (inputs, *(outputs for _ in dilations))
    return nn.Sequential(*(part for width, dilation in zip(widths, dilations, strict=False) for part in _layer(width, outputs, dilation, norm, dropout)))


class ConvBlock(nn.Module):
    """`count` times convolution, dropout if any, leaky ReLU, norm if any."""

    def __init__(self, count: int, inputs: int, outputs: int, *, norm: bool, dropout: float = 0.0) -> None:
        super().__init__()
        self.block = _layers(inputs, outputs, [1] * count, norm, dropout)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.block(x)
        return out


class DilatedBlock(nn.Module):
    """`count` convolutions of dilation 2, 4, 6, ...; the answer is the sum of what every single step gives, activations and norms included."""

    def __init__(self, count: int, inputs: int, outputs: int, *, norm: bool, dropout: float = 0.0) -> None:
        super().__init__()
        self.atrous_module = _layers(inputs, outputs, range(2, 2 * count + 1, 2), norm, dropout)

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor | None = None
        for step in self.atrous_module:
            x = step(x)
            total = x if total is None else total + x
        return x if total is None else total


class UpsampleBlock(nn.Module):
    """Twice the rows and columns, and a 1x1 convolution.

    AtomAI enlarges first. What weighs neighbouring pixels and what weighs channels may change places, for the same numbers at a quarter of the price.
    """

    def __init__(self, inputs: int, outputs: int, mode: Upsampling) -> None:
        super().__init__()
        self.mode = mode
        self.conv = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = functional.interpolate(self.conv(x), scale_factor=2.0, mode=self.mode)
        return out


class ResBlock(nn.Module):
    """A 1x1 convolution, and two 3x3 ones around which its result passes by; here norms come before the activation."""

    def __init__(self, inputs: int, outputs: int, *, norm: bool) -> None:
        super().__init__()
        self.c0 = nn.Conv2d(inputs, outputs, 1)
        self.c1 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.c2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(outputs) if norm else nn.Identity()
        self.bn2 = nn.BatchNorm2d(outputs) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        past = self.c0(x)
        x = functional.leaky_relu(self.bn1(self.c1(past)), _SLOPE)
        return functional.leaky_relu(self.bn2(self.c2(x)) + past, _SLOPE)


class ResModule(nn.Module):
    """`count` residual blocks in a row."""

    def __init__(self, count: int, inputs: int, outputs: int, *, norm: bool) -> None:
        super().__init__()
        self.res_module = nn.Sequential(*(ResBlock(inputs if k == 0 else outputs, outputs, norm=norm) for k in range(count)))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.res_module(x)
        return out
