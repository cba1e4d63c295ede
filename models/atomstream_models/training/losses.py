"""Losses on logits, all with soft targets: how far an answer is from the class probabilities that were wanted."""

from __future__ import annotations

from typing import Literal, Protocol

import torch
from torch import Tensor
from torch.nn import functional

LossName = Literal["cross-entropy", "dice", "focal", "soft-iou"]


class Loss(Protocol):
    """How far an answer is from what was wanted, a scalar."""

    def __call__(self, logits: Tensor, wanted: Tensor, known: Tensor | None = None) -> Tensor:
        """logits, wanted : (B, channels, rows, columns); known : (B, 1, rows, columns), 0 where nothing is learned."""


_FOCUS = 2.0
"""Exponent of the focal loss, as in its paper."""


def loss_function(name: LossName, class_weights: tuple[float, ...] | None = None) -> Loss:
    """The loss of that name.

    cross-entropy : binary with one channel, else over all channels
    dice : 1 - soft Dice coefficient (Milletari 2016)
    focal : cross-entropy that dwells on what is still wrong (Lin 2017)
    soft-iou : 1 - soft intersection over union (Rahman & Wang 2016)
    class_weights : weight of each channel in `cross-entropy` and `focal`; all 1 by default

    Raises
    ------
    KeyError
        for another name.
    """
    pixelwise = {"cross-entropy": _cross_entropy, "focal": _focal}
    overlapping = {"dice": _dice, "soft-iou": _soft_iou}
    weights = None if class_weights is None else torch.tensor(class_weights)[None, :, None, None]

    def of_pixels(logits: Tensor, wanted: Tensor, known: Tensor | None = None) -> Tensor:
        losses = pixelwise[name](logits, wanted)
        losses = (losses if weights is None else losses * weights.to(logits.device)).sum(1, keepdim=True)
        return losses.mean() if known is None else (losses * known).sum() / known.sum().clamp(min=1)

    def of_areas(logits: Tensor, wanted: Tensor, known: Tensor | None = None) -> Tensor:
        chances = probabilities(logits)
        if known is not None:
            chances, wanted = chances * known, wanted * known
        return overlapping[name]((chances * wanted).sum((0, 2, 3)), (chances + wanted).sum((0, 2, 3)))

    if name not in pixelwise and name not in overlapping:
        raise KeyError(name)
    return of_pixels if name in pixelwise else of_areas


def probabilities(logits: Tensor) -> Tensor:
    """Class probabilities of logits [N,C,H,W]: a sigmoid for one channel, a softmax over the channels for more."""
    return torch.sigmoid(logits) if logits.shape[1] == 1 else torch.softmax(logits, dim=1)


def iou(logits: Tensor, wanted: Tensor, known: Tensor | None = None) -> Tensor:
    """Intersection over union of each atom class, (classes,), pixels of the whole batch together; 1 for a class that is nowhere.

    A pixel belongs to its likeliest channel, or with one channel to the atoms where their probability exceeds one half.
    """
    if logits.shape[1] == 1:
        found, true = logits > 0, wanted > 0.5
    else:
        channels = logits.shape[1]
        found, true = (functional.one_hot(one.argmax(1), channels).movedim(-1, 1).bool()[:, :-1] for one in (logits, wanted))
    if known is not None:
        found, true = found & (known > 0), true & (known > 0)
    both = (found & true).sum((0, 2, 3)).float()
    either = (found | true).sum((0, 2, 3)).float()
    return torch.where(either > 0, both / either.clamp(min=1), torch.ones_like(both))


def _cross_entropy(logits: Tensor, wanted: Tensor) -> Tensor:
    if logits.shape[1] == 1:
        return functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    return -wanted * torch.log_softmax(logits, dim=1)


def _focal(logits: Tensor, wanted: Tensor) -> Tensor:
    chances = probabilities(logits)
    return (wanted - chances).abs() ** _FOCUS * _cross_entropy(logits, wanted)


def _dice(both: Tensor, areas: Tensor) -> Tensor:
    return (1 - (2 * both + 1) / (areas + 1)).mean()


def _soft_iou(both: Tensor, areas: Tensor) -> Tensor:
    return (1 - (both + 1) / (areas - both + 1)).mean()
