from __future__ import annotations

from dataclasses import replace

import torch

from ._atomai import atomai_augment
from ._expose import expose
from ._settings import AtomAIAugmentation, Augmentation
from ._warp import Batch, move


def augment(batch: Batch, settings: Augmentation | AtomAIAugmentation, generator: torch.Generator) -> Batch:
    """The batch as it is seen this once, every image with random parameters of its own drawn from `generator`."""
    if isinstance(settings, AtomAIAugmentation):
        return atomai_augment(batch, settings, generator)
    moved = move(batch, settings.geometry, generator)
    return replace(moved, images=expose(moved.images, settings.intensity, generator))
