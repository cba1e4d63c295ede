"""The settings of an ensemble training, kept in the bundle's card."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FirstEnsemble:
    """How the first shipped ensemble is trained: simulated graphene and square lattices, host and impurity.

    members : number of networks, each with its own initial weights and shuffle
    filters : width of the network's first level
    patches : simulated training images, shared by all members (noise is drawn anew each time one is seen)
    patch_px : side of a training image in pixels
    steps, batch : gradient steps and images per step
    rate : largest learning rate of the one-cycle schedule
    pixel_size_nm : range of simulated pixel sizes for graphene, in nm
    spacing_px : range of the square lattice's spacing, in pixels
    seed : everything random derives from it
    """

    members: int = 8
    filters: int = 16
    patches: int = 3500
    patch_px: int = 160
    steps: int = 1200
    batch: int = 16
    rate: float = 4e-3
    pixel_size_nm: tuple[float, float] = (0.0075, 0.016)
    spacing_px: tuple[float, float] = (9.0, 26.0)
    seed: int = 1
