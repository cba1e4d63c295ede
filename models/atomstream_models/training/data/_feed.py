"""Batches for every step, each a function of seed, member and step alone, so that a killed training goes on as if nothing had been."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .._targets import known, wanted
from ..augment import AtomAIAugmentation, Augmentation, Batch, augment, normalize_batch
from ._set import TrainingSet

_SHUFFLE, _AUGMENT, _VALIDATE = 1, 2, 3


@dataclass(frozen=True)
class Lesson:
    """Images with what they are to be answered with.

    images : (batch, 1, rows, columns), normalised
    wanted : (batch, channels, rows, columns), class probabilities
    known : (batch, 1, rows, columns), 1 where they are known, else 0; None for everywhere
    source : the images before normalisation, and their atoms
    """

    images: Tensor
    wanted: Tensor
    known: Tensor | None
    source: Batch


class Feed:
    """Where a member's training and validation batches come from.

    training, validation : the images to learn from and those to watch by; the latter are the same for all members
    augmentation, normalization, softness, batch, seed : as in the recipe
    member : number of the member, which shuffles and augments in its own way
    """

    def __init__(
        self,
        training: TrainingSet,
        validation: TrainingSet,
        augmentation: Augmentation | AtomAIAugmentation,
        normalization: tuple[str, Mapping[str, Any]],
        *,
        softness: float,
        batch: int,
        seed: int,
        member: int,
        device: torch.device,
    ) -> None:
        self._training = training
        self._validation = validation
        self._augmentation = augmentation
        self._normalization = normalization
        self._softness = softness
        self._batch = batch
        self._seed = seed
        self._member = member
        self._device = device

    def batch(self, step: int) -> Lesson:
        """What a step learns from."""
        return self._dressed(self._training, self._chosen(step), self._generator(_AUGMENT, self._member, step))

    def validation(self) -> Iterator[Lesson]:
        """The validation batches, the same at every call and for every member."""
        for start in range(0, len(self._validation), self._batch):
            chosen = np.arange(start, min(start + self._batch, len(self._validation)))
            yield self._dressed(self._validation, chosen, self._generator(_VALIDATE, 0, start))

    def _chosen(self, step: int) -> NDArray[np.int64]:
        count = len(self._training)
        places = np.arange(step * self._batch, (step + 1) * self._batch)
        rounds = {turn: np.random.default_rng([self._seed, _SHUFFLE, self._member, turn]).permutation(count) for turn in np.unique(places // count)}
        return np.array([rounds[place // count][place % count] for place in places])

    def _dressed(self, source: TrainingSet, chosen: Sequence[int] | NDArray[np.int64], generator: torch.Generator) -> Lesson:
        batch = augment(self._load(source, chosen), self._augmentation, generator)
        images = normalize_batch(batch.images, *self._normalization)
        return Lesson(images[:, None], wanted(batch, source.classes, self._softness), known(batch), batch)

    def _load(self, source: TrainingSet, chosen: Sequence[int] | NDArray[np.int64]) -> Batch:
        def tensor(array: NDArray[Any], dtype: type[np.generic]) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(array[chosen], dtype)).to(self._device)

        return Batch(
            tensor(source.images, np.float32),
            tensor(source.atoms_yx, np.float32),
            tensor(source.kinds, np.int64),
            tensor(source.radius_px, np.float32),
            None if source.masks is None else tensor(source.masks, np.float32) / 255,
            None if source.hidden is None else tensor(source.hidden, np.float32),
        )

    def _generator(self, *key: int) -> torch.Generator:
        seed = int(np.random.SeedSequence([self._seed, *key]).generate_state(1, np.uint64)[0])
        return torch.Generator(self._device).manual_seed(seed & 0x7FFFFFFFFFFFFFFF)
