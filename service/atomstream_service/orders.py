"""What the control plane tells an engine: how to start, which ensemble state to hold, what of a frame to show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from .config import Config
from .members import MemberState

CANNOT_START = 3
"""Exit code of an engine where starting again can't help before something is changed."""


class Wanted(BaseModel):
    """The ensemble state that the control plane wants the engine to hold.

    generation : the number under which results report it
    sha256, folder : which ensemble, and where it lies
    states : member id -> state; members left out are enabled
    selected : whether somebody has chosen members of this ensemble
    trial_frames : frames that another ensemble than the live one has to answer before the live one is let go; 0 for none
    fallback_generation : the number under which the last good ensemble reports if the trial fails
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    generation: int
    sha256: str
    folder: Path
    states: dict[str, MemberState]
    selected: bool
    trial_frames: int = Field(0, ge=0)
    fallback_generation: int | None = None


class EngineSpec(BaseModel):
    """An engine's start: the settings and the ensemble state to begin with.

    commands : endpoint of the command line to the control plane
    drift : what an engine before this one knew of drift
    races : what it knew of how fast the ways to run members are
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    config: Config
    commands: str
    wanted: Wanted
    drift: dict[str, Any] | None = None
    races: list[dict[str, Any]] = []


class View(BaseModel):
    """What a page wants to see of a frame.

    layers : pictures of the region, by name
    region : first row, first column, one past the last row and column; None for all
    longest_px : of these pictures' longer side
    thumbs : pictures of the whole frame, by name
    thumb_px : of these pictures' longer side
    seen : whether to say which member sees which atom
    brightness : whether to say how bright the atoms of the region are
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    layers: tuple[str, ...] = Field(("frame",), max_length=64)
    region: tuple[int, int, int, int] | None = None
    longest_px: int = Field(1024, ge=16, le=4096)
    thumbs: tuple[str, ...] = Field((), max_length=64)
    thumb_px: int = Field(224, ge=16, le=1024)
    seen: bool = False
    brightness: bool = False

    @property
    def needs_maps(self) -> bool:
        """Whether the frame alone does not suffice."""
        return self.seen or any(name != "frame" for name in (*self.layers, *self.thumbs))
