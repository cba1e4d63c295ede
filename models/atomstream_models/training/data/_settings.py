"""Where training images come from, as a recipe says it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from ._scene import Scene


class SimulatedData(BaseModel):
    """Images simulated without noise, which augmentation adds anew each time one is seen.

    patches, validation : images to learn from, and images held out to watch by
    patch_px : their side in pixels
    scenes : what is on them
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["simulated"] = "simulated"
    patches: int = Field(default=3500, ge=1)
    validation: int = Field(default=96, ge=2)
    patch_px: int = Field(default=160, ge=16)
    scenes: tuple[Scene, ...] = Field(default=(Scene(),), min_length=1)


class PreparedData(BaseModel):
    """Images that are there already, with atoms or masks: from experiment, or from a simulation of one's own.

    source : what they are, in words, for the card
    origin : whether a detector recorded them or a simulation made them, for the card
    validation : images held out to watch by, the last ones
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["prepared"] = "prepared"
    source: str = ""
    origin: Literal["simulated", "experimental"] = "simulated"
    validation: int = Field(default=16, ge=2)


class ExperimentalData(BaseModel):
    """Crops of experimental frames, labelled by an ensemble that knew them well enough (Ghosh et al. 2021).

    crops : how many, from random places in the chosen frames and regions, those held out included
    crop_px : their side in pixels
    validation : crops held out to watch by and to choose the threshold by
    hold_out : cut those from one frame that nothing is learned from, where there are three frames or more; else they share pixels with the others
    radius_px : radius of an atom's disc in the target; None for what suits the atoms' distances and sizes
    window_px, components : patch mixture that tells amorphous matter from lattice; a window of 0 for none
    most_std : leave out atoms whose std between members is higher; for single images
    std_quantile : leave out all but this share of the atoms, those of the lowest std
    least_votes : leave out atoms that fewer members see themselves
    classes_by : how to tell the classes, ascending in brightness, see `classify`; `parent` keeps the ensemble's under the recipe's names; None
        keeps them where the names are the same, and else finds two classes by an automatic threshold
    class_thresholds : brightness that divides the classes, for `threshold`, in units of the median atom
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["experimental"] = "experimental"
    crops: int = Field(default=600, ge=4)
    crop_px: int = Field(default=224, ge=16)
    validation: int = Field(default=48, ge=2)
    hold_out: bool = True
    radius_px: float | None = Field(default=None, gt=0)
    window_px: int = Field(default=48, ge=0)
    components: int = Field(default=2, ge=1)
    most_std: float | None = Field(default=None, ge=0)
    std_quantile: float | None = Field(default=None, gt=0, le=1)
    least_votes: int | None = Field(default=None, ge=1)
    classes_by: Literal["parent", "automatic", "threshold", "gmm", "kmeans", "patches"] | None = None
    class_thresholds: tuple[float, ...] = ()


DataSettings = Annotated[SimulatedData | PreparedData | ExperimentalData, Field(discriminator="kind")]
