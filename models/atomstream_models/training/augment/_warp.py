"""Moving pixels and atoms together."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from ._settings import Geometry


@dataclass(frozen=True)
class Batch:
    """Images with their atoms, on one device.

    images : (B, rows, columns), float32
    atoms_yx : (B, most, 2), pixels, NaN where there is none
    kinds : (B, most), class index, -1 for none, -2 for what may be an atom or not
    radius_px : (B,), radius of an atom's disc
    masks : (B, classes, rows, columns), 0 to 1, or None
    hidden : (B, rows, columns), above 0 at pixels of which nothing is known, or None where all are
    """

    images: Tensor
    atoms_yx: Tensor
    kinds: Tensor
    radius_px: Tensor
    masks: Tensor | None = None
    hidden: Tensor | None = None


def flip_and_turn(batch: Batch, symmetry: Tensor) -> Batch:
    """Each image brought into one of eight positions: bit 0 of `symmetry` (B,) flips the rows, bit 1 the columns, bit 2 swaps the axes.

    Raises
    ------
    ValueError
        for a swap of axes where images are not square.
    """
    rows, columns = batch.images.shape[1:]
    flip_y, flip_x, swap = ((symmetry >> bit) & 1 for bit in range(3))
    if rows != columns and bool(swap.any()):
        raise ValueError(f"images of {rows}x{columns} pixels can't be turned by 90 degrees; cut square patches")

    def move(planes: Tensor) -> Tensor:
        pick = (-1,) + (1,) * (planes.dim() - 1)
        planes = torch.where(flip_y.bool().view(pick), planes.flip(-2), planes)
        planes = torch.where(flip_x.bool().view(pick), planes.flip(-1), planes)
        return torch.where(swap.bool().view(pick), planes.transpose(-1, -2), planes) if rows == columns else planes

    y, x = batch.atoms_yx.unbind(-1)
    y = torch.where(flip_y.bool()[:, None], rows - 1 - y, y)
    x = torch.where(flip_x.bool()[:, None], columns - 1 - x, x)
    swapped = swap.bool()[:, None]
    atoms = torch.stack([torch.where(swapped, x, y), torch.where(swapped, y, x)], -1)
    masks, hidden = (None if one is None else move(one) for one in (batch.masks, batch.hidden))
    return replace(batch, images=move(batch.images), atoms_yx=atoms, masks=masks, hidden=hidden)


def warp(batch: Batch, side: tuple[int, int], zoom: Tensor, corner: Tensor, shear: Tensor, jitter_px: Tensor) -> Batch:
    """A patch of each image, magnified, skewed and with shifted scan lines, in one resampling.

    side : rows and columns of the patch
    zoom : (B,), magnification
    corner : (B, 2), where between its first and last possible place the patch lies, 0 to 1 (y, x)
    shear : (B, 2), columns per row and rows per column
    jitter_px : (B, rows of the patch), sideways shift of each line; atoms, which are as often right as left of it, stay
    """
    rows, columns = batch.images.shape[1:]
    inside = torch.tensor([side[0] - 1.0, side[1] - 1.0], device=zoom.device)
    room = torch.tensor([rows - 1.0, columns - 1.0], device=zoom.device) - inside / zoom[:, None]
    centre = corner * room.clamp(min=0) + inside / zoom[:, None] / 2
    skew = torch.eye(2, device=zoom.device).repeat(len(zoom), 1, 1)
    skew[:, 1, 0], skew[:, 0, 1] = shear[:, 0], shear[:, 1]
    out = torch.stack(torch.meshgrid(*(torch.arange(n, device=zoom.device, dtype=torch.float32) for n in side), indexing="ij"), -1)
    offset = (out - inside / 2)[None] / zoom[:, None, None, None]
    source = torch.einsum("bij,brcj->brci", skew, offset) + centre[:, None, None]
    source[..., 1] += jitter_px[:, :, None]
    scale = torch.tensor([columns - 1.0, rows - 1.0], device=zoom.device)
    grid = 2 * source.flip(-1) / scale - 1
    # Bicubic, because bilinear resampling would smooth away noise and the sharpest atoms.
    images = functional.grid_sample(batch.images[:, None], grid, mode="bicubic", padding_mode="reflection", align_corners=True)[:, 0]
    masks, hidden = (_resampled(one, grid) for one in (batch.masks, None if batch.hidden is None else batch.hidden[:, None]))
    back = torch.linalg.inv(skew)
    atoms = torch.einsum("bij,bnj->bni", back, batch.atoms_yx - centre[:, None]) * zoom[:, None, None] + inside / 2
    return Batch(images, atoms, batch.kinds, batch.radius_px * zoom, masks, None if hidden is None else hidden[:, 0])


def _resampled(planes: Tensor | None, grid: Tensor) -> Tensor | None:
    if planes is None:
        return None
    return functional.grid_sample(planes, grid, mode="bilinear", padding_mode="border", align_corners=True)


def move(batch: Batch, settings: Geometry, generator: torch.Generator) -> Batch:
    """The batch as its geometry settings move it, drawn from `generator`."""
    count, rows, columns = batch.images.shape
    device = batch.images.device

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, device=device)

    side = (settings.patch_px or rows, settings.patch_px or columns)
    zoom = settings.zoom[0] + (settings.zoom[1] - settings.zoom[0]) * uniform(count)
    zoom = zoom.clamp(min=max(side[0] / rows, side[1] / columns))
    jitter = settings.line_jitter_px[0] + (settings.line_jitter_px[1] - settings.line_jitter_px[0]) * uniform(count)
    jitter = jitter * (uniform(count) < settings.line_jitter_chance)
    shear = settings.shear * torch.randn((count, 2), generator=generator, device=device)
    lines = jitter[:, None] * torch.randn((count, side[0]), generator=generator, device=device)
    if side != (rows, columns) or settings.zoom != (1.0, 1.0) or settings.shear or settings.line_jitter_px != (0.0, 0.0):
        batch = warp(batch, side, zoom, uniform(count, 2), shear, lines)
    symmetry = torch.randint(8, (count,), generator=generator, device=device)
    if not settings.flips:
        # Turns alone: the swap of axes goes with exactly one flip, and both flips together are half a turn.
        symmetry = torch.tensor([0, 3, 5, 6], device=device)[symmetry % 4]
    if not settings.turns or side[0] != side[1]:
        symmetry = symmetry & 3 if settings.flips else symmetry * 0
    return flip_and_turn(batch, symmetry)
