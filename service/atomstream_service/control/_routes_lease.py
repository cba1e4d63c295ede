"""The control lease."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from ._answers import LeaseGiven, LeaseState, LeaseTaken
from ._requests import Actor, LeaseId
from ._service import Service


class LeaseWish(BaseModel):
    """Control for a while."""

    model_config = ConfigDict(extra="forbid")

    seconds: float = Field(60.0, gt=0, le=86_400, description="how long, from now")
    reason: str = Field("", max_length=2000)


def lease_routes(service: Service) -> APIRouter:
    """Routes under /v1/lease."""
    router = APIRouter(tags=["lease"])

    @router.get("/v1/lease", summary="Who is in control", response_model=LeaseState)
    def lease() -> dict[str, Any]:
        current = service.leases.current
        return {"lease": None if current is None else current.shown}

    @router.post("/v1/lease", summary="Take control, or keep it for longer", response_model=LeaseTaken)
    def take(wanted: LeaseWish, actor: Actor, lease: LeaseId = None) -> dict[str, Any]:
        """While somebody has the lease, changes by others are refused (423). Send its id as X-Atomstream-Lease with every change, and here to keep it."""
        taken = service.leases.take(actor, wanted.seconds, wanted.reason, lease)
        return {"id": taken.id, **taken.shown, "generation": service.wish.generation}

    @router.delete(
        "/v1/lease", summary="Give control back, or break somebody's lease", response_model=LeaseGiven, responses={404: {"description": "nobody has the lease"}}
    )
    def give_back(
        actor: Actor,
        lease: LeaseId = None,
        force: Annotated[bool, Query(description="break the lease of somebody else")] = False,
        reason: Annotated[str, Query(max_length=2000)] = "",
    ) -> dict[str, Any]:
        service.leases.give_back(lease, actor, reason, force=force)
        return {"lease": None, "generation": service.wish.generation}

    return router
