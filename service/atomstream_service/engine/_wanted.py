from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from ..members import MemberState


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
