"""AtomAI's augmentation, vectorised."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from . import _ops as ops
from ._settings import AtomAIAugmentation
from ._warp import Batch, flip_and_turn, warp

_DEFAULTS = {
    "gauss_noise": (0, 50),
    "jitter": (0, 50),
    "poisson_noise": (30, 40),
    "salt_and_pepper": (0, 50),
    "blur": (1, 50),
    "contrast": (5, 20),
}


def atomai_augment(batch: Batch, settings: AtomAIAugmentation, generator: torch.Generator) -> Batch:
    """The batch as AtomAI 0.8.1's `datatransform` would treat it (utils and transforms/imaug.py), in its order, values 0..1 before and after."""
    draw = _Whole(len(batch.images), settings, generator)
    batch = replace(batch, images=ops.minmax(batch.images))
    if settings.rotation and batch.images.shape[1] == batch.images.shape[2]:
        batch = flip_and_turn(batch, torch.randint(8, (len(batch.images),), generator=generator, device=generator.device))
    if settings.zoom:
        batch = _zoom(batch, 2 if settings.zoom is True else int(settings.zoom), generator)
    images = _values(batch.images, draw, settings, generator)
    return replace(batch, images=ops.minmax(images))


def _values(images: Tensor, draw: _Whole, settings: AtomAIAugmentation, generator: torch.Generator) -> Tensor:
    if (k := draw.parameter("gauss_noise")) is not None:
        images = (images + ops.per_image(torch.sqrt(1e-4 * k)) * ops.grain(images, generator)).clamp(0, 1)
    if (k := draw.parameter("jitter")) is not None:
        images = ops.roll_rows(images, torch.poisson((k / 10)[:, None].expand(-1, images.shape[1]), generator=generator))
    if (k := draw.parameter("poisson_noise")) is not None:
        levels = torch.tensor([float(one.unique().numel()) for one in images], device=images.device)
        images = ops.poisson(images, (50 / k.clamp(min=1)) ** torch.ceil(torch.log2(levels)), generator)
    if (k := draw.parameter("salt_and_pepper")) is not None:
        images = ops.salt_and_pepper(images, 1e-3 * k, generator)
    if (k := draw.parameter("blur")) is not None:
        images = ops.blur(images, 0.05 * k)
    if (k := draw.parameter("contrast")) is not None:
        images = ops.power(images.clamp(min=0), k / 10)
    return _background(images, draw) if settings.background else images


class _Whole:
    """Whole-number parameters, one an image, from a range whose upper end is left out."""

    def __init__(self, count: int, settings: AtomAIAugmentation, generator: torch.Generator) -> None:
        self._count = count
        self._settings = settings
        self._generator = generator

    def parameter(self, name: str) -> Tensor | None:
        """The parameter (B,) of that name; None where it is off."""
        given = getattr(self._settings, name)
        if given is False:
            return None
        return self.between(*(_DEFAULTS[name] if given is True else given))

    def between(self, low: int, high: int) -> Tensor:
        return torch.randint(low, max(high, low + 1), (self._count,), generator=self._generator, device=self._generator.device).float()


def _zoom(batch: Batch, most: int, generator: torch.Generator) -> Batch:
    count, rows, columns = batch.images.shape
    sizes = torch.arange(rows // most, rows + 1, 8, device=generator.device)
    size = sizes[torch.randint(len(sizes), (count,), generator=generator, device=generator.device)].float()
    still = torch.zeros((count, 2), device=generator.device)
    return warp(batch, (rows, columns), rows / size, still + 0.5, still, torch.zeros((count, rows), device=generator.device))


def _background(images: Tensor, draw: _Whole) -> Tensor:
    """One wide Gaussian an image, up to half as high as the image, up or down."""
    rows, columns = images.shape[1:]
    parts = []
    for size in (rows, columns):
        centre, sigma = draw.between(0, size), draw.between(max(size // 4, 1), size)
        parts.append(torch.exp(-0.5 * ((torch.arange(size, device=images.device)[None] - centre[:, None]) / sigma[:, None]) ** 2))
    height = 0.05 * draw.between(-10, 10)
    return images + ops.per_image(height) * parts[0][:, :, None] * parts[1][:, None, :]
