"""The training loop of one ensemble member."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from ._config import FirstEnsemble
from ._data import PatchPool, batches
from ._networks import HalfResolutionUNet

Progress = Callable[[int, float], None]
"""Called after every step with the step's number and its loss."""


def train_member(config: FirstEnsemble, pool: PatchPool, member: int, progress: Progress = lambda step, loss: None) -> HalfResolutionUNet:
    """A trained network, in evaluation mode.

    Members differ in their initial weights, the order of their images and their noise. Deterministic on the CPU
    for a given configuration, member and number of threads.
    """
    torch.manual_seed(config.seed * 1000 + member)
    network = HalfResolutionUNet(config.filters)
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.rate, total_steps=config.steps, pct_start=0.15)
    source = batches(pool, config.batch, np.random.default_rng([config.seed, 13, member]))
    network.train()
    for step in range(config.steps):
        images, wanted = (torch.from_numpy(part) for part in next(source))
        loss = nn.functional.cross_entropy(network(images), wanted)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        progress(step, loss.item())
    return network.eval()
