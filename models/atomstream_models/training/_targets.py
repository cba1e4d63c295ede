"""What a network should answer, drawn from atoms that have moved with their image."""

from __future__ import annotations

import torch
from torch import Tensor

from .augment import Batch

DISK_RADIUS = 0.3
"""Radius of an atom's disc, in nearest-neighbour distances: bonded atoms stay apart."""
_NARROW = 0.5
"""Standard deviation, in disc radii, of the Gaussians whose sum tells the distance to the nearest atom."""
_REACH = 3.0
"""Atoms further outside a patch than this many radii leave nothing in it."""
_LOWEST = -40.0
"""Exponents below this count as this: smaller numbers would be denormal, which processors are slow at."""
_FAR = -1e4
_UNKNOWN = -2
_UNKNOWN_SOFTNESS, _UNKNOWN_LEVEL = 0.25, 0.1
"""What may be an atom hides a disc of about one and a half radii."""
_HIDDEN_LEVEL = 1e-3
"""Resampled pixels that took more than this share from hidden ones are hidden."""


def wanted(batch: Batch, classes: int, softness: float = 0.25) -> Tensor:
    """Class probabilities (B, channels, rows, columns): discs with a logistic edge, or the batch's masks, background last.

    With one class there is one channel and no background. A disc's value falls from its centre on, so that an atom's
    centroid is its position to a fraction of a pixel; atoms may lie outside the patch, only their part inside is drawn.

    softness : width of the edge relative to the disc's radius
    """
    if batch.masks is not None:
        atoms = batch.masks
    else:
        atoms = torch.stack([_disks(batch, kind, softness) for kind in range(classes)], 1)
    if classes == 1:
        return atoms
    # Where discs overlap the later class holds: a bright impurity over its host.
    left = torch.ones_like(atoms[:, 0])
    shares = []
    for kind in reversed(range(classes)):
        shares.append(torch.minimum(atoms[:, kind], left))
        left = left - shares[-1]
    return torch.stack([*reversed(shares), left], 1)


def known(batch: Batch) -> Tensor | None:
    """Where a network may learn, (B, 1, rows, columns), 1 or 0: not around what may be an atom or not, nor at hidden pixels; None for everywhere."""
    parts = []
    if bool((batch.kinds == _UNKNOWN).any()):
        parts.append(_disks(batch, _UNKNOWN, _UNKNOWN_SOFTNESS) < _UNKNOWN_LEVEL)
    if batch.hidden is not None:
        parts.append(batch.hidden < _HIDDEN_LEVEL)
    return torch.stack(parts).all(0).float()[:, None] if parts else None


def _disks(batch: Batch, kind: int, softness: float) -> Tensor:
    """Discs at the atoms of one class, (B, rows, columns).

    The sum of narrow Gaussians, which is one matrix product, gives the distance to the nearest atom to well within a
    thousandth of a radius wherever discs do not overlap.
    """
    rows, columns = batch.images.shape[1:]
    atoms = _nearby(batch, kind)
    sigma = (_NARROW * batch.radius_px)[:, None, None]
    parts = []
    for axis, size in enumerate((rows, columns)):
        offset = torch.arange(size, device=atoms.device)[None, None] - atoms[:, :, None, axis]
        parts.append(torch.exp((-0.5 * (offset / sigma) ** 2).clamp(min=_LOWEST)))
    total = torch.bmm(parts[0].transpose(1, 2), parts[1])
    distance = _NARROW * torch.sqrt(-2 * torch.log(total.clamp(1e-30, 1)))
    return torch.sigmoid((1 - distance) / softness)


def _nearby(batch: Batch, kind: int) -> Tensor:
    """The atoms of one class that show in their patch, (B, as many as any patch has, 2), those beyond its own number far away."""
    size = torch.tensor(batch.images.shape[1:], device=batch.images.device)
    reach = (_REACH * batch.radius_px)[:, None, None]
    there = (batch.kinds == kind) & ((batch.atoms_yx > -reach) & (batch.atoms_yx < size + reach)).all(-1)
    most = max(1, int(there.sum(1).max()))
    there, order = there.float().topk(most, dim=1, sorted=False)
    atoms = torch.gather(batch.atoms_yx, 1, order[..., None].expand(-1, -1, 2))
    return torch.where(there.bool()[..., None], atoms, _FAR)
