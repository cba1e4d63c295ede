"""Augmentation on the fly, vectorised in torch: runs where the batch is, on the GPU or the CPU."""

from ._augment import augment
from ._normalize import normalize_batch
from ._settings import AtomAIAugmentation, Augmentation, Geometry, Intensity, PositiveRange, Range
from ._warp import Batch, flip_and_turn, move, warp

__all__ = [
    "AtomAIAugmentation",
    "Augmentation",
    "Batch",
    "Geometry",
    "Intensity",
    "PositiveRange",
    "Range",
    "augment",
    "flip_and_turn",
    "move",
    "normalize_batch",
    "warp",
]
