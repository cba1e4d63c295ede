"""Members drawn around one trained network: SWAG with a diagonal covariance (Maddox 2019)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ._files import write_tensors
from ._loop import State


def keep_spread(state: State, path: Path) -> None:
    """Write mean and variance of the weights that a training averaged."""
    mean = {name: total / state.averaged for name, total in state.total.items()}
    variance = {name: (squares / state.averaged - mean[name] ** 2).clamp(min=0) for name, squares in state.squares.items()}
    write_tensors(path, {"mean": mean, "variance": variance})


def draw_weights(path: Path, seed: int) -> dict[str, Tensor]:
    """Weights drawn independently from the normal distribution that `keep_spread` wrote."""
    kept = torch.load(path, map_location="cpu", weights_only=True)
    rng = np.random.default_rng(seed)
    drawn = {}
    for name, mean in kept["mean"].items():
        noise = torch.from_numpy(rng.standard_normal(tuple(mean.shape)))
        drawn[name] = (mean + torch.sqrt(kept["variance"][name]) * noise).float()
    return drawn
