"""What can be done to the values of a batch of images, each image with parameters of its own."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


def per_image(values: Tensor) -> Tensor:
    """A vector (B,) shaped to act on images (B, rows, columns)."""
    return values[:, None, None]


def extremes(images: Tensor) -> tuple[Tensor, Tensor]:
    """Smallest and largest value of each image, shape (B, 1, 1) each."""
    flat = images.flatten(1)
    return per_image(flat.amin(1)), per_image(flat.amax(1))


def minmax(images: Tensor) -> Tensor:
    """Each image brought to 0..1; a constant one gives zeros."""
    low, high = extremes(images)
    return (images - low) / torch.where(high > low, high - low, torch.ones_like(high))


def blur(images: Tensor, sigma_px: Tensor) -> Tensor:
    """Each image (B, rows, columns) convolved with a Gaussian of its own standard deviation (B,); 0 leaves it alone."""
    reach = max(1, math.ceil(3 * float(sigma_px.max())))
    if reach >= min(images.shape[1:]):
        reach = min(images.shape[1:]) - 1
    offsets = torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)
    kernels = torch.exp(-0.5 * (offsets[None] / sigma_px[:, None].clamp(min=1e-3)) ** 2)
    kernels = kernels / kernels.sum(1, keepdim=True)
    count = len(images)
    padded = functional.pad(images[None], (reach, reach, reach, reach), mode="reflect")
    down = functional.conv2d(padded, kernels[:, None, :, None], groups=count)
    across: Tensor = functional.conv2d(down, kernels[:, None, None, :], groups=count)[0]
    return across


def power(images: Tensor, gamma: Tensor) -> Tensor:
    """Each image's values raised to its gamma (B,) between its own extremes, which stay."""
    low, high = extremes(images)
    span = torch.where(high > low, high - low, torch.ones_like(high))
    return low + span * ((images - low) / span) ** per_image(gamma)


def surface(shape: tuple[int, int, int], nodes: int, generator: torch.Generator) -> Tensor:
    """A smooth random surface for each image, shape `shape`, about -1 to 1, with `nodes` by `nodes` degrees of freedom."""
    grid = 2 * torch.rand((shape[0], 1, nodes, nodes), generator=generator, device=generator.device) - 1
    return functional.interpolate(grid, size=shape[1:], mode="bicubic", align_corners=True)[:, 0]


def grain(images: Tensor, generator: torch.Generator) -> Tensor:
    """White noise of unit variance, of the images' shape."""
    return torch.randn(images.shape, generator=generator, device=images.device, dtype=images.dtype)


def smear(noise: Tensor, share: Tensor) -> Tensor:
    """Noise correlated along the scan: each pixel takes a share (B,) of the one before it; the variance stays."""
    share = per_image(share)
    out = noise.clone()
    out[:, :, 1:] = (noise[:, :, 1:] + share * noise[:, :, :-1]) / torch.sqrt(1 + share**2)
    return out


def poisson(images: Tensor, counts: Tensor, generator: torch.Generator) -> Tensor:
    """Each image as its Poisson draw, `counts` (B,) electrons where it is 1; the unit stays."""
    counts = per_image(counts)
    return torch.poisson(images.clamp(min=0) * counts, generator=generator) / counts


def salt_and_pepper(images: Tensor, share: Tensor, generator: torch.Generator) -> Tensor:
    """Each image with a share (B,) of its pixels at its extremes, half of them at each."""
    draw = torch.rand(images.shape, generator=generator, device=images.device)
    low, high = extremes(images)
    share = per_image(share)
    return torch.where(draw < share / 2, low, torch.where(draw > 1 - share / 2, high, images))


def roll_rows(images: Tensor, shifts_px: Tensor) -> Tensor:
    """Each row of each image rolled to the right by its own whole number of pixels, `shifts_px` (B, rows)."""
    columns = torch.arange(images.shape[2], device=images.device)
    source = (columns[None, None] - shifts_px[:, :, None].long()) % images.shape[2]
    return torch.gather(images, 2, source)
