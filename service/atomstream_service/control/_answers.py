"""What routes under /v1 answer, for the API's description. Answers may grow, so that programs skip keys that they do not know."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..members import MemberState
from ._uses import Use


class _Answer(BaseModel):
    model_config = ConfigDict(extra="allow")


class Generation(_Answer):
    """From which generation a change holds."""

    generation: int


class MemberStateShown(_Answer):
    id: str
    state: MemberState


class MemberShown(MemberStateShown):
    latency_ms: float | None
    drift: Any
    metrics: dict[str, Any]


class MemberList(Generation):
    members: list[MemberShown]


class MembersChanged(Generation):
    members: list[MemberStateShown]


class EnsembleNamed(_Answer):
    name: str
    version: str
    sha256: str


class EnsembleRegistered(EnsembleNamed, Generation):
    """Registering changes no result, so that the generation is the one that held before."""


class EnsembleShown(EnsembleNamed):
    use: Use


class EnsembleDetails(EnsembleShown):
    card: dict[str, Any]


class EnsembleList(Generation):
    rollback_to: EnsembleNamed | None
    ensembles: list[EnsembleShown]


class RolledBack(Generation):
    load_s: float = Field(description="seconds that loading, checking and warming took, beside the live ensemble")
    ensemble: EnsembleNamed = Field(description="the live one")


class ActivatedShown(RolledBack):
    mode: Literal["live", "shadow"]


class LeaseShown(_Answer):
    holder: str
    reason: str
    until: float = Field(description="seconds since the epoch")


class LeaseState(_Answer):
    lease: LeaseShown | None


class LeaseTaken(LeaseShown, Generation):
    id: str = Field(description="to be sent as X-Atomstream-Lease with every change, and kept to oneself")


class LeaseGiven(LeaseState, Generation):
    """Nobody is in control any more."""


class JournalLine(_Answer):
    id: int
    t: float = Field(description="seconds since the epoch")
    actor: str
    action: str
    target: str
    reason: str
    before: Any
    after: Any
    generation: int


class Journal(_Answer):
    entries: list[JournalLine]


class AnsweredBy(EnsembleNamed, Generation):
    """The ensemble that answered."""


class MapShown(_Answer):
    dtype: str
    shape: list[int]
    base64: str = Field(description="the map's bytes, row after row")


class FrameAnswer(_Answer):
    """A frame's atoms and how they came about, as in results."""

    seq: int
    source: str
    frame: int | None
    shape: tuple[int, int]
    ensemble: AnsweredBy
    members_used: list[str]
    members_total: int
    classes: list[str]
    flags: list[str]
    latency_ms: dict[str, float]
    columns: list[str]
    atoms: list[list[float | None]] = Field(description="one row an atom; null where a value is not known")
    maps: dict[str, MapShown] | None = None
