"""What the control plane tells an engine when it starts it."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from ..config import Config

CANNOT_START = 3
"""Exit code of an engine where starting again can't help before something is changed."""


class EngineSpec(BaseModel):
    """An engine's start: the settings and the ensemble state to begin with.

    commands : endpoint of the command line to the control plane
    bundle : folder of the ensemble
    generation : the generation to report from the first result on
    states : member id -> state; members left out are enabled
    selected : whether somebody has chosen members of this ensemble
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    config: Config
    commands: str
    bundle: Path
    generation: int
    states: dict[str, str]
    selected: bool
