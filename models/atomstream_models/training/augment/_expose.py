"""What happens to an image's values on their way through probe, detector and amplifier."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from . import _ops as ops
from ._settings import Intensity, Range


class _Draw:
    """Random parameters, one an image."""

    def __init__(self, count: int, generator: torch.Generator) -> None:
        self._count = count
        self._generator = generator

    def uniform(self, low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(self._count, generator=self._generator, device=self._generator.device)

    def log_uniform(self, bounds: Range) -> Tensor:
        return torch.exp(self.uniform(*(math.log(max(one, 1e-6)) for one in bounds)))

    def chosen(self, chance: float) -> Tensor:
        return torch.rand(self._count, generator=self._generator, device=self._generator.device) < chance


def expose(images: Tensor, settings: Intensity, generator: torch.Generator) -> Tensor:
    """Images (B, rows, columns) as a detector would give them, drawn from `generator`."""
    draw = _Draw(len(images), generator)
    images = _before(images, settings, draw, generator)
    images = _noisy(images, settings, draw, generator)
    return _after(images, settings, draw, generator)


def _before(images: Tensor, settings: Intensity, draw: _Draw, generator: torch.Generator) -> Tensor:
    if settings.blur_px[1]:
        images = ops.blur(images, draw.uniform(*settings.blur_px) * draw.chosen(settings.blur_chance))
    if settings.contrast != (1.0, 1.0):
        gamma = draw.uniform(*settings.contrast)
        images = ops.power(images, torch.where(draw.chosen(settings.contrast_chance), gamma, torch.ones_like(gamma)))
    if settings.background[1]:
        nodes = int(torch.randint(2, 6, (1,), generator=generator, device=generator.device))
        rows, columns = images.shape[1:]
        height = draw.uniform(*settings.background) * draw.chosen(settings.background_chance)
        images = images + ops.per_image(height) * (1 + ops.surface((len(images), rows, columns), nodes, generator))
    return images


def _noisy(images: Tensor, settings: Intensity, draw: _Draw, generator: torch.Generator) -> Tensor:
    noise = ops.grain(images, generator)
    if settings.smear_chance:
        noise = ops.smear(noise, draw.uniform(0.05, 0.5) * draw.chosen(settings.smear_chance))
    noisy = images
    if settings.noise[1]:
        shot = ops.per_image(draw.uniform(*settings.shot))
        level = images.clamp(min=0) / ops.per_image(images.mean((1, 2)).clamp(min=1e-6))
        noisy = images + ops.per_image(draw.log_uniform(settings.noise)) * torch.sqrt(shot * level + (1 - shot)) * noise
    if settings.counts_chance:
        counts, chosen = draw.log_uniform(settings.counts), draw.chosen(settings.counts_chance)
        noisy = noisy.clone()
        noisy[chosen] = ops.poisson(images[chosen], counts[chosen], generator)
    return noisy


def _after(images: Tensor, settings: Intensity, draw: _Draw, generator: torch.Generator) -> Tensor:
    if settings.salt_and_pepper_chance:
        share = draw.uniform(*settings.salt_and_pepper) * draw.chosen(settings.salt_and_pepper_chance)
        images = ops.salt_and_pepper(images, share, generator)
    if settings.gamma_chance:
        gamma = draw.uniform(*settings.gamma)
        images = ops.power(images, torch.where(draw.chosen(settings.gamma_chance), gamma, torch.ones_like(gamma)))
    if settings.floor_chance:
        middle, spread = images.mean((1, 2)), images.std((1, 2))
        floor = middle - draw.uniform(0.5, 3.0) * spread
        images = torch.where(ops.per_image(draw.chosen(settings.floor_chance)), torch.maximum(images, ops.per_image(floor)), images)
    return images
