"""Training and export. The only part of Atomstream that imports torch; the service never imports it."""

from ._config import FirstEnsemble
from ._data import PatchPool, simulate_pool
from ._export import export_member
from ._networks import HalfResolutionUNet
from ._pack import pack_first_ensemble
from ._train import train_member

__all__ = ["FirstEnsemble", "HalfResolutionUNet", "PatchPool", "export_member", "pack_first_ensemble", "simulate_pool", "train_member"]
