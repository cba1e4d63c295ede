"""Members: who counts."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal
from urllib.parse import unquote

from fastapi import APIRouter, Header, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from ..members import MemberState
from ._refusal import RequestRefused
from ._service import Service

_ETAG = re.compile(r'(?:W/)?"?(\d{1,18})"?')


class MemberChange(BaseModel):
    """The state that one member shall have."""

    model_config = ConfigDict(extra="forbid")

    state: Literal["enabled", "shadow", "disabled"]
    reason: str = Field("", max_length=2000)


class MemberChoice(BaseModel):
    """The members that shall count; all others are disabled, those in shadow stay there."""

    model_config = ConfigDict(extra="forbid")

    enabled: list[str] = Field(max_length=256)
    reason: str = Field("", max_length=2000)


IfMatch = Annotated[str | None, Header(description="the generation that the change is based on, as in ETag; 412 if it has moved on")]
Actor = Annotated[str | None, Header(alias="X-Atomstream-Actor", max_length=200, description="who acts, for the journal; percent-encoded UTF-8")]


def member_routes(service: Service) -> APIRouter:
    """Routes under /v1/members."""
    router = APIRouter(tags=["members"])

    @router.get("/v1/members", summary="All members and their states")
    def members(response: Response) -> dict[str, Any]:
        status = service.status()
        generation = status["ensemble"]["generation"]
        response.headers["ETag"] = f'"{generation}"'
        metrics = {member.id: member.metrics for member in service.bundle.card.members}
        listed = [{"id": member, **entry, "drift": None, "metrics": metrics[member]} for member, entry in status["members"].items()]
        return {"generation": generation, "members": listed}

    @router.patch("/v1/members/{member}", summary="Change one member's state from the next frame on")
    def change(member: str, wanted: MemberChange, request: Request, response: Response, if_match: IfMatch = None, actor: Actor = None) -> dict[str, Any]:
        states = {member: MemberState(wanted.state)}
        generation = service.members.change(states, _actor(actor, request), wanted.reason, _generation(if_match))
        return _changed(response, generation)

    @router.put("/v1/members", summary="Choose the members that count, in one step")
    def choose(wanted: MemberChoice, request: Request, response: Response, if_match: IfMatch = None, actor: Actor = None) -> dict[str, Any]:
        generation = service.members.choose(wanted.enabled, _actor(actor, request), wanted.reason, _generation(if_match))
        return _changed(response, generation)

    def _changed(response: Response, generation: int) -> dict[str, Any]:
        response.headers["ETag"] = f'"{generation}"'
        states = service.members.wish.states
        return {"generation": generation, "members": [{"id": member, "state": state} for member, state in states.items()]}

    return router


def _actor(named: str | None, request: Request) -> str:
    return unquote(named) if named else f"anonymous@{request.client.host if request.client else 'unknown'}"


def _generation(if_match: str | None) -> int | None:
    if if_match is None or if_match.strip() == "*":
        return None
    found = _ETAG.fullmatch(if_match.strip())
    if found is None:
        raise RequestRefused(400, "bad_if_match", f'If-Match is {if_match!r}; send the ETag of /v1/members, such as "12"')
    return int(found[1])
