"""What a refinement is asked for, with nothing in it that could name a file, a program or another machine but the frames' own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError, field_validator

from atomstream_models.regions import Region

_Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
_Class = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._+-]{0,31}$")]
_Share = Annotated[float, Field(gt=0, le=1)]
_Range = tuple[Annotated[float, Field(ge=0, le=100)], Annotated[float, Field(ge=0, le=100)]]


def _right_way_round(region: Region) -> Region:
    y0, y1, x0, x1 = region
    if not (0 <= y0 < y1 and 0 <= x0 < x1):
        raise ValueError(f"rows {y0}:{y1}, columns {x0}:{x1} are not a region: first row, one past the last, first column, one past the last")
    return region


FrameRegion = Annotated[Region, AfterValidator(_right_way_round)]
"""A region that is one: its first row and column lie before its last."""

SETTINGS: Mapping[str, TypeAdapter[Any]] = {
    "data.crops": TypeAdapter(Annotated[int, Field(ge=16, le=4000)]),
    "data.crop_px": TypeAdapter(Annotated[int, Field(ge=32, le=512)]),
    "data.validation": TypeAdapter(Annotated[int, Field(ge=2, le=200)]),
    "data.hold_out": TypeAdapter(bool),
    "data.radius_px": TypeAdapter(Annotated[float, Field(gt=0, le=100)]),
    "data.window_px": TypeAdapter(Annotated[int, Field(ge=0, le=256)]),
    "data.components": TypeAdapter(Annotated[int, Field(ge=1, le=10)]),
    "data.most_std": TypeAdapter(_Share),
    "data.std_quantile": TypeAdapter(_Share),
    "data.least_votes": TypeAdapter(Annotated[int, Field(ge=1, le=256)]),
    "data.classes_by": TypeAdapter(Literal["parent", "automatic", "threshold", "gmm", "kmeans", "patches"]),
    "data.class_thresholds": TypeAdapter(Annotated[tuple[Annotated[float, Field(gt=0, le=1000)], ...], Field(max_length=63)]),
    "augmentation.geometry.zoom": TypeAdapter(_Range),
    "augmentation.geometry.flips": TypeAdapter(bool),
    "augmentation.geometry.turns": TypeAdapter(bool),
    "augmentation.intensity.noise": TypeAdapter(_Range),
    "training.batch": TypeAdapter(Annotated[int, Field(ge=1, le=64)]),
    "training.rate": TypeAdapter(Annotated[float, Field(gt=0, le=0.1)]),
    "training.weight_decay": TypeAdapter(Annotated[float, Field(ge=0, le=1)]),
    "training.loss": TypeAdapter(Literal["cross-entropy", "dice", "focal", "soft-iou"]),
    "training.class_weights": TypeAdapter(Annotated[tuple[Annotated[float, Field(ge=0, le=1000)], ...], Field(max_length=65)]),
    "training.patience": TypeAdapter(Annotated[int, Field(ge=0, le=1000)]),
    "training.swa_share": TypeAdapter(Annotated[float, Field(ge=0, lt=1)]),
    "training.swa_every": TypeAdapter(Annotated[int, Field(ge=1, le=1000)]),
    "training.norm_batches": TypeAdapter(Annotated[int, Field(ge=1, le=200)]),
    "training.validate_every": TypeAdapter(Annotated[int, Field(ge=1, le=10_000)]),
    "training.checkpoint_every": TypeAdapter(Annotated[int, Field(ge=1, le=10_000)]),
    "training.seed": TypeAdapter(Annotated[int, Field(ge=0, lt=2**31)]),
    "threshold": TypeAdapter(Annotated[float, Field(gt=0, lt=1)]),
}
"""Settings of a recipe that may be asked for, each with what it may be. A setting is here only if it can't name a path or an
executor, nor make a refinement so large that it fills memory or disk."""


class _Confined(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class FramesFile(_Confined):
    """Frames to learn from. Whoever takes requests from others decides on the path himself."""

    path: Path = Field(description="A .npy, .npz or TIFF file.")
    pixel_size_nm: Annotated[float, Field(gt=0)] | None = Field(default=None, description="Pixel size in nm; null where the file says it, or nobody knows.")
    frames: tuple[Annotated[int, Field(ge=0)], ...] | None = Field(
        default=None, min_length=1, max_length=10_000, description="Numbers of the frames to learn from, from 0; null for all."
    )


class RefinementParameters(_Confined):
    """How to refine."""

    recipe: Literal["live-refine", "refine"] = Field(
        default="live-refine", description="live-refine takes minutes, refine is thorough and takes an hour or more."
    )
    strategy: Literal["scratch", "baseline"] | None = Field(
        default=None, description="Start anew, or from the first chosen member; null for the recipe's own way, which is baseline for live-refine."
    )
    iterations: int = Field(default=1, ge=1, le=10, description="Rounds at most; ends when the detection rate no longer rises.")
    steps: int | None = Field(default=None, ge=1, le=20_000, description="Gradient steps of a member; null for the recipe's.")
    count: int | None = Field(default=None, ge=1, le=64, description="Members of the new ensemble; null for the recipe's.")
    classes: tuple[_Class, ...] | None = Field(default=None, min_length=1, max_length=64, description="Classes of the new ensemble; null for the old ones.")
    settings: dict[str, Any] = Field(default_factory=dict, description="More settings of the recipe by key, such as training.rate; only some may be set.")

    @field_validator("settings")
    @classmethod
    def _only_some(cls, settings: dict[str, Any]) -> dict[str, Any]:
        unknown = sorted(set(settings) - SETTINGS.keys())
        if unknown:
            raise ValueError(f"{', '.join(map(repr, unknown))} can't be set; what can is {', '.join(SETTINGS)}")
        checked, wrong = {}, []
        for key, value in settings.items():
            try:
                checked[key] = SETTINGS[key].validate_python(value)
            except ValidationError as error:
                wrong.append(f"{key} = {json.dumps(value, default=str)}: {error.errors()[0]['msg']}")
        if wrong:
            raise ValueError("; ".join(wrong))
        return checked


class RefinementRequest(_Confined):
    """A refinement: frames, what of them, by whom labelled, how, and what its result is called."""

    frames: FramesFile = Field(description="What to learn from.")
    regions: tuple[FrameRegion, ...] = Field(
        default=(),
        max_length=100,
        description="Parts of the frames to learn from: first row, one past the last, first column, one past the last; all by default.",
    )
    leave_out: tuple[FrameRegion, ...] = Field(default=(), max_length=100, description="Parts of the frames not to learn from, in the same way.")
    members: tuple[_Name, ...] | None = Field(
        default=None, min_length=1, max_length=256, description="Members of the parent whose mean makes the labels; null for all."
    )
    parameters: RefinementParameters = Field(default=RefinementParameters(), description="How to refine.")
    name: _Name | None = Field(default=None, description="Name of the new bundle; null for the parent's.")
    version: _Name | None = Field(default=None, description="Version of the new bundle; null for the parent's with .1 added.")
    reason: str = Field(default="", max_length=1000, description="Why, for the journal.")
