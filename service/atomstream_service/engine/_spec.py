"""What the control plane tells an engine when it starts it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from ..config import Config
from ._wanted import Wanted

CANNOT_START = 3
"""Exit code of an engine where starting again can't help before something is changed."""


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
