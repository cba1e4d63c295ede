"""The card's normalisation for batches on any device, equal to the one that serves frames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ...normalize import SAMPLES, normalizer
from . import _ops as ops


def normalize_batch(images: Tensor, name: str, parameters: Mapping[str, Any]) -> Tensor:
    """Images (B, rows, columns) normalised one by one, as `atomstream_models.normalize` does it.

    Raises
    ------
    UnknownNormalization
        for a name or parameter that it does not have.
    """
    normalizer(name, parameters)
    if name == "minmax":
        return ops.minmax(images)
    if name == "none":
        return images
    low, high = float(parameters.get("low", 16.0)), float(parameters.get("high", 84.0))
    clip = tuple(float(v) for v in parameters.get("clip", (-8.0, 24.0)))
    step = max(1, int((images[0].numel() / SAMPLES) ** 0.5))
    sample = images[:, ::step, ::step].flatten(1)
    last = sample.shape[1] - 1
    least, bottom, middle, top, most = (sample.kthvalue(round(last * q / 100) + 1, dim=1).values for q in (0.5, low, 50.0, high, 99.5))
    kept = (sample >= least[:, None]) & (sample <= most[:, None])
    share = kept.sum(1)
    centre = (sample * kept).sum(1) / share
    spread = torch.sqrt((((sample - centre[:, None]) ** 2) * kept).sum(1) / share)
    scale = torch.maximum((top - bottom) / 2, 0.25 * spread)
    usable = torch.isfinite(scale) & (scale > 0)
    out = (images - ops.per_image(middle)) / ops.per_image(torch.where(usable, scale, torch.ones_like(scale)))
    return torch.where(ops.per_image(usable), out.clamp(*clip), torch.zeros_like(out))
