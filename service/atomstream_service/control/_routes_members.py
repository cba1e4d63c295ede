"""Members: who counts."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, ConfigDict, Field

from ..members import MemberState
from ._answers import MemberList, MembersChanged
from ._requests import Actor, Expected, InControl
from ._service import Service


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


def member_routes(service: Service) -> APIRouter:
    """Routes under /v1/members."""
    router = APIRouter(tags=["members"])
    in_control = [Depends(InControl(service))]

    @router.get("/v1/members", summary="All members and their states", response_model=MemberList)
    def members(response: Response) -> dict[str, Any]:
        status = service.status()
        generation = status["ensemble"]["generation"]
        response.headers["ETag"] = f'"{generation}"'
        metrics = {member.id: member.metrics for member in service.bundle.card.members}
        listed = [
            {"id": member, **entry, "drift": service.drift.of_member(member), "metrics": metrics.get(member, {})} for member, entry in status["members"].items()
        ]
        return {"generation": generation, "members": listed}

    @router.patch("/v1/members/{member}", summary="Change one member's state from the next frame on", response_model=MembersChanged, dependencies=in_control)
    def change(member: str, wanted: MemberChange, response: Response, actor: Actor, expected: Expected) -> dict[str, Any]:
        states = {member: MemberState(wanted.state)}
        generation = service.members.change(states, actor, wanted.reason, expected)
        return _changed(response, generation)

    @router.put(
        "/v1/members",
        summary="Choose the members that count, in one step",
        response_model=MembersChanged,
        responses={404: {"description": "there is no such member"}},
        dependencies=in_control,
    )
    def choose(wanted: MemberChoice, response: Response, actor: Actor, expected: Expected) -> dict[str, Any]:
        generation = service.members.choose(wanted.enabled, actor, wanted.reason, expected)
        return _changed(response, generation)

    def _changed(response: Response, generation: int) -> dict[str, Any]:
        response.headers["ETag"] = f'"{generation}"'
        states = service.wish.states
        return {"generation": generation, "members": [{"id": member, "state": state} for member, state in states.items()]}

    return router
