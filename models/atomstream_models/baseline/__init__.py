"""What can be found without a network: a Laplacian-of-Gaussian finder that sets itself, the honest comparison in every report."""

from ._atoms import blob_strength, filled, log_atoms
from ._lattice import lattice_period_px
from ._noise import noise_level

__all__ = ["blob_strength", "filled", "lattice_period_px", "log_atoms", "noise_level"]
