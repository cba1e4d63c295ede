"""Segmentation networks. Each takes normalised frames [N, 1, H, W] and answers logits [N, channels, H, W]."""

from ._blocks import Network
from ._build import Kind, NetworkSettings, build_network
from ._half import HalfResolutionUNet
from ._hed import HEDNet
from ._quarter import QuarterResolutionUNet
from ._segres import SegResNet
from ._unet import UNet

__all__ = ["HEDNet", "HalfResolutionUNet", "Kind", "Network", "NetworkSettings", "QuarterResolutionUNet", "SegResNet", "UNet", "build_network"]
