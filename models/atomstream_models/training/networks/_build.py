"""Networks by name, so that a recipe and a card can say which one."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ._blocks import Network
from ._half import HalfResolutionUNet
from ._hed import HEDNet
from ._quarter import QuarterResolutionUNet
from ._segres import SegResNet
from ._unet import UNet
from .atomai import AtomAIUnet

Kind = Literal["half-unet", "quarter-unet", "unet", "dilated-unet", "segresnet", "hed", "atomai-unet"]


class NetworkSettings(BaseModel):
    """One architecture.

    kind : quarter-unet and half-unet work at a quarter and half the resolution and are the fastest; unet, dilated-unet, segresnet and hed work at the full one;
        atomai-unet is AtomAI's own Unet, norm after activation
    filters : width of the first level
    depth : poolings of `unet` and `dilated-unet`
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind = "half-unet"
    filters: int = Field(default=16, ge=1, le=256)
    depth: int = Field(default=3, ge=1, le=5)

    def __str__(self) -> str:
        return f"{self.kind} filters={self.filters}" + (f" depth={self.depth}" if self.kind in ("unet", "dilated-unet") else "")

    @classmethod
    def parse(cls, text: str) -> NetworkSettings:
        """The settings that `str` gave; ValueError for another text."""
        kind, *options = text.split()
        return cls.model_validate({"kind": kind, **dict(option.split("=", 1) for option in options)})


def build_network(settings: NetworkSettings, channels: int) -> Network:
    """A network with fresh weights from torch's global generator; its answer is logits [N, channels, H, W].

    Every network has an attribute `downsample`: rows and columns of its input must be multiples of it.
    """
    match settings.kind:
        case "half-unet":
            return HalfResolutionUNet(settings.filters, channels)
        case "quarter-unet":
            return QuarterResolutionUNet(settings.filters, channels)
        case "unet":
            return UNet(settings.filters, settings.depth, channels)
        case "dilated-unet":
            return UNet(settings.filters, settings.depth, channels, dilated=True)
        case "segresnet":
            return SegResNet(settings.filters, channels)
        case "hed":
            return HEDNet(settings.filters, channels)
        case "atomai-unet":
            return AtomAIUnet(settings.filters, channels)
