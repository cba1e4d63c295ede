"""Drift: scores, alarms, policy."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Depends, Response
from pydantic import BaseModel, ConfigDict, Field

from ..drift_settings import DriftSettings, QuarantineSettings
from ..members import MemberState
from ._requests import Actor, Expected, InControl
from ._service import Service


class DriftPolicy(QuarantineSettings):
    """What is done about members that are blamed, and how drift is watched for."""

    watch: DriftSettings | None = Field(None, description="how drift is watched for; null = as it is")
    reason: str = Field("", max_length=2000)


class Acknowledgement(BaseModel):
    """Somebody has seen an alarm."""

    model_config = ConfigDict(extra="forbid")

    state: Literal["enabled", "shadow", "disabled"] = Field("enabled", description="what a quarantined member becomes")
    source: str | None = Field(None, description="on the frames of one source; null = of all")
    reason: str = Field("", max_length=2000)


def drift_routes(service: Service) -> APIRouter:
    """Routes under /v1/drift."""
    router = APIRouter(tags=["drift"])
    in_control = [Depends(InControl(service))]

    @router.get("/v1/drift", summary="How drift stands, by source: members, scene, instrument, and what to do")
    def drift() -> dict[str, Any]:
        settings = service.drift.policy.model_dump(mode="json")
        return {
            "generation": service.wish.generation,
            "policy": settings,
            "watch": service.drift.watch.model_dump(mode="json"),
            "sources": service.drift.sources,
        }

    @router.put("/v1/drift/policy", summary="What is done about members that drift", dependencies=in_control)
    def policy(wanted: DriftPolicy, response: Response, actor: Actor, expected: Expected) -> dict[str, Any]:
        quarantine = QuarantineSettings.model_validate(wanted.model_dump(exclude={"watch", "reason"}))
        generation = service.drift.set_policy(quarantine, wanted.watch, actor, wanted.reason, expected)
        response.headers["ETag"] = f'"{generation}"'
        return {"generation": generation, "policy": quarantine.model_dump(mode="json"), "watch": service.drift.watch.model_dump(mode="json")}

    @router.post("/v1/drift/{member}/acknowledge", summary="Release an alarm, and a member from quarantine", dependencies=in_control)
    def acknowledge(
        member: str, response: Response, actor: Actor, expected: Expected, seen: Annotated[Acknowledgement | None, Body()] = None
    ) -> dict[str, Any]:
        """`member` is a member's id, or scene, instrument or unattributed."""
        wanted = seen or Acknowledgement()
        generation, released = service.drift.acknowledge(member, MemberState(wanted.state), wanted.source, actor, wanted.reason, expected)
        response.headers["ETag"] = f'"{generation}"'
        return {"generation": generation, "released": released, "state": service.wish.states.get(member)}

    return router
