from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from ._request import RefinementRequest


class RefinementState(StrEnum):
    """How a refinement is doing."""

    QUEUED = "queued"
    """waits for another one to end"""
    RUNNING = "running"
    """has a process"""
    DONE = "done"
    """has made a bundle"""
    FAILED = "failed"
    """ended without one; may be resumed, say with more room on the disk"""
    CANCELLED = "cancelled"
    """was ended by somebody; may be resumed"""
    INTERRUPTED = "interrupted"
    """was queued or running when the service ended; may be resumed"""

    @property
    def over(self) -> bool:
        """Whether nothing more happens by itself."""
        return self not in (RefinementState.QUEUED, RefinementState.RUNNING)


@dataclass(frozen=True)
class RefinementJob:
    """A refinement at one moment.

    id : its name; a later one sorts after an earlier one
    state : see `RefinementState`
    request : what was asked for
    parent : folder of the bundle that is refined
    actor : who asked
    created, started, ended : seconds since 1970; `started` is that of the last time it was
    share : of the work that is done, 0 to 1
    stage : what it last told of
    eta_s : seconds to the end as it last told them
    error : why it failed, in a sentence
    bundle : folder of the new bundle, once it is done
    """

    id: str
    state: RefinementState
    request: RefinementRequest
    parent: Path
    actor: str
    created: float
    started: float | None = None
    ended: float | None = None
    share: float = 0.0
    stage: str | None = None
    eta_s: float | None = None
    error: str | None = None
    bundle: Path | None = None

    def as_json(self) -> dict[str, Any]:
        """For an answer over HTTP."""
        plain = {name: getattr(self, name) for name in ("id", "actor", "created", "started", "ended", "share", "stage", "eta_s", "error")}
        request = self.request.model_dump(mode="json")
        return {**plain, "state": str(self.state), "parent": str(self.parent), "bundle": None if self.bundle is None else str(self.bundle), "request": request}
