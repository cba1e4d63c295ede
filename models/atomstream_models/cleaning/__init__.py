"""What must go before found atoms become labels: amorphous matter, doubtful atoms, atoms that few members saw."""

from ._clean import Cleaned, Cleaning, clean
from ._filters import high_std, low_votes
from ._gmm import PatchClasses, patch_gmm
from ._patches import FramePatches
from ._sites import lattice_translations, on_lattice

__all__ = [
    "Cleaned",
    "Cleaning",
    "FramePatches",
    "PatchClasses",
    "clean",
    "high_std",
    "lattice_translations",
    "low_votes",
    "on_lattice",
    "patch_gmm",
]
