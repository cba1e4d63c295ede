"""AtomAI's segmentation networks (nets/fcnn.py of AtomAI 0.8.1): same state dicts, same numbers."""

from ._blocks import Upsampling
from ._dilnet import AtomAIDilnet
from ._reshednet import AtomAIResHedNet
from ._segresnet import AtomAISegResNet
from ._settings import AtomAIKind, AtomAINetwork, AtomAISettings, build_atomai, shapes_of
from ._unet import AtomAIUnet

__all__ = [
    "AtomAIDilnet",
    "AtomAIKind",
    "AtomAINetwork",
    "AtomAIResHedNet",
    "AtomAISegResNet",
    "AtomAISettings",
    "AtomAIUnet",
    "Upsampling",
    "build_atomai",
    "shapes_of",
]
