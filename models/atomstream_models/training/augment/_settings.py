"""What augmentation may do to an image, as a recipe says it."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

_Bounds = TypeVar("_Bounds", bound=tuple[float, float])


def _ordered(values: _Bounds) -> _Bounds:
    if values[0] > values[1]:
        raise ValueError(f"{list(values)} is not a range from low to high")
    return values


def _positive(values: tuple[float, float]) -> tuple[float, float]:
    if values[0] <= 0:
        raise ValueError(f"{list(values)} is not a range above 0")
    return values


Range = Annotated[tuple[float, float], AfterValidator(_ordered)]
"""Lowest and highest value, each image draws its own."""
PositiveRange = Annotated[Range, AfterValidator(_positive)]
"""A range above 0, for what is drawn log-uniformly or divided by."""
WholeRange = Annotated[tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]], AfterValidator(_ordered)]
"""A range of whole numbers."""
Chance = Annotated[float, Field(ge=0, le=1)]
"""Share of the images to which this is done."""


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Geometry(_Settings):
    """Where pixels go. Atoms go with them, exactly; masks are resampled.

    patch_px : side of the patch that is cut out, null for the whole image
    flips, turns : mirror images and quarter turns; all eight together
    zoom : magnification of the patch, 1 to 2 in the paper
    shear : standard deviation of the skew that sample drift leaves (columns per row, and rows per column)
    line_jitter_px : standard deviation of each scan line's sideways shift, drawn from this range
    line_jitter_chance : share of images that have any
    """

    patch_px: int | None = Field(default=None, ge=16)
    flips: bool = True
    turns: bool = True
    zoom: PositiveRange = (1.0, 1.0)
    shear: float = Field(default=0.0, ge=0, le=0.2)
    line_jitter_px: Range = (0.0, 0.0)
    line_jitter_chance: Chance = 1.0


class Intensity(_Settings):
    """What happens to the values, in this order: before the detector, in it, and after it.

    The unit is the image's own: the peak of a host atom in a simulated one, the standard deviation of an experimental one.

    blur_px, blur_chance : standard deviation of a Gaussian blur
    contrast, contrast_chance : gamma, applied between the image's own extremes
    background, background_chance : height of a smooth random surface
    counts, counts_chance : electrons in a pixel of unit intensity (log-uniform); these images are Poisson draws
    noise : noise in a pixel of unit intensity (log-uniform), for the images that are not
    shot : share of that noise that grows with the signal
    smear_chance : share of images whose noise is correlated along the scan
    salt_and_pepper, salt_and_pepper_chance : share of pixels at the extremes
    gamma, gamma_chance : gamma after the noise, as from a nonlinear amplifier
    floor_chance : share of images cut off at a random level below their mean, as from a badly set black level
    """

    blur_px: Range = (0.0, 0.0)
    blur_chance: Chance = 1.0
    contrast: PositiveRange = (1.0, 1.0)
    contrast_chance: Chance = 1.0
    background: Range = (0.0, 0.0)
    background_chance: Chance = 1.0
    counts: PositiveRange = (1.0, 100.0)
    counts_chance: Chance = 0.0
    noise: Range = (0.0, 0.0)
    shot: Range = (0.0, 0.0)
    smear_chance: Chance = 0.0
    salt_and_pepper: Range = (0.0, 0.0)
    salt_and_pepper_chance: Chance = 0.0
    gamma: PositiveRange = (0.7, 1.4)
    gamma_chance: Chance = 0.0
    floor_chance: Chance = 0.0


class Augmentation(_Settings):
    """What is done to every image anew each time that it is seen."""

    kind: Literal["atomstream"] = "atomstream"
    geometry: Geometry = Geometry()
    intensity: Intensity = Intensity()


class AtomAIAugmentation(_Settings):
    """AtomAI's `datatransform`, its parameters by name and unit: whole numbers drawn evenly, the upper end left out.

    `true` stands for AtomAI's default range. The order, the normalisation to 0..1 before and after and the units are AtomAI's. Turns and flips are all
    eight, where AtomAI leaves out the identity and one quarter turn by mistake.

    gauss_noise : variance in 1e-4
    jitter : mean shift of a row in tenths of a pixel
    poisson_noise : dose divisor
    salt_and_pepper : share of pixels in 1e-3
    blur : standard deviation in 0.05 px
    contrast : gamma in tenths
    zoom : largest magnification of the centre
    background : add a wide random Gaussian
    rotation : turns and flips
    """

    kind: Literal["atomai"] = "atomai"
    gauss_noise: bool | WholeRange = False
    jitter: bool | WholeRange = False
    poisson_noise: bool | WholeRange = False
    salt_and_pepper: bool | WholeRange = False
    blur: bool | WholeRange = False
    contrast: bool | WholeRange = False
    zoom: bool | Annotated[int, Field(ge=1, le=16)] = False
    background: bool = False
    rotation: bool = False
