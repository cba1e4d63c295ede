"""Refinements: a new ensemble from what was just seen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from ..refinements import FrameRegion, RefinementParameters, RefinementUnknown
from ._refinement import Source, Then
from ._requests import Actor, InControl
from ._routes_recordings import RingSelection
from ._service import Service

_LOOK_S, _BEAT_S = 0.2, 15.0
"""How often a follower looks for news, and after how long without any it is told that somebody is still here."""


class NewRefinement(BaseModel):
    """What to learn from, of whose labels, and what the new ensemble is for."""

    model_config = ConfigDict(extra="forbid")

    recording: str | None = Field(None, max_length=100, description="frames of a recording; null = of the ring")
    ring: RingSelection = Field(default_factory=RingSelection, description="which frames of the ring, where no recording is named; all by default")
    frames: tuple[Annotated[int, Field(ge=0)], ...] | None = Field(None, min_length=1, max_length=10_000, description="numbers of these frames, from 0")
    regions: tuple[FrameRegion, ...] = Field(
        (), max_length=100, description="[first row, one past the last, first column, one past the last] of parts to learn from; all by default"
    )
    leave_out: tuple[FrameRegion, ...] = Field((), max_length=100, description="parts of the frames not to learn from")
    members: tuple[str, ...] | None = Field(None, min_length=1, max_length=256, description="members whose mean makes the labels; the enabled ones by default")
    parameters: RefinementParameters = Field(default_factory=RefinementParameters)
    name: str | None = Field(None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="of the new ensemble; that of the live one by default")
    version: str | None = Field(None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="of the new ensemble; a free one by default")
    then: Then = Field("register", description="register = it waits to be activated; shadow = it runs beside the live one at once")
    reason: str = Field("", max_length=1000)


class Why(BaseModel):
    """A reason."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field("", max_length=2000)


def refinement_routes(service: Service) -> APIRouter:
    """Routes under /v1/refinements."""
    router = APIRouter(tags=["refinements"])
    in_control = [Depends(InControl(service))]
    refinement = service.refinement

    @router.get("/v1/refinements", summary="All refinements")
    def refinements() -> dict[str, Any]:
        return {"refinements": [refinement.as_json(job) for job in refinement.jobs.jobs()]}

    @router.post(
        "/v1/refinements",
        status_code=202,
        summary="Learn from what was just seen, in the background",
        responses={
            404: {"description": "there is no such recording or member"},
            501: {"description": "training is not installed"},
            507: {"description": "the frames could not be kept"},
        },
        dependencies=in_control,
    )
    def start(wanted: NewRefinement, actor: Actor) -> dict[str, Any]:
        ring = wanted.ring.model_dump()
        job = refinement.start(
            Source(wanted.recording, ring, wanted.frames),
            actor,
            wanted.reason,
            then=wanted.then,
            members=wanted.members,
            regions=wanted.regions,
            leave_out=wanted.leave_out,
            parameters=wanted.parameters,
            name=wanted.name,
            version=wanted.version,
        )
        return {**refinement.as_json(job), "generation": service.wish.generation}

    @router.get("/v1/refinements/{refinement_id}", summary="How one is doing")
    def job(refinement_id: str) -> dict[str, Any]:
        return refinement.as_json(refinement.jobs.get(refinement_id))

    @router.get(
        "/v1/refinements/{refinement_id}/events",
        summary="Its progress as server-sent events, from the beginning or after Last-Event-ID; ends when it is over",
        response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
    )
    def events(refinement_id: str, last_event_id: Annotated[int, Header(ge=-1, le=1 << 31)] = -1) -> StreamingResponse:
        refinement.jobs.get(refinement_id)

        async def lines() -> AsyncIterator[str]:
            # However many follow, none of them holds one of the threads that other requests need.
            last, quiet_s = last_event_id, 0.0
            while True:
                try:
                    news, over = refinement.jobs.told(refinement_id, after=last)
                except RefinementUnknown:
                    return  # deleted meanwhile
                for event in news:
                    last, quiet_s = event.number, 0.0
                    yield f"id: {event.number}\nevent: {event.stage}\ndata: {event.model_dump_json()}\n\n"
                if over:
                    return
                await asyncio.sleep(_LOOK_S)
                quiet_s += _LOOK_S
                if quiet_s >= _BEAT_S:
                    quiet_s = 0.0
                    yield ": still here\n\n"

        return StreamingResponse(lines(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    @router.post("/v1/refinements/{refinement_id}/resume", summary="Go on with one that did not come to its end", dependencies=in_control)
    def resume(refinement_id: str, wanted: Why, actor: Actor) -> dict[str, Any]:
        return {**refinement.as_json(refinement.resume(refinement_id, actor, wanted.reason)), "generation": service.wish.generation}

    @router.delete("/v1/refinements/{refinement_id}", summary="Cancel one that runs, or forget one that is over", dependencies=in_control)
    def end(refinement_id: str, actor: Actor, reason: str = "") -> dict[str, Any]:
        return {"id": refinement_id, "state": refinement.end(refinement_id, actor, reason), "generation": service.wish.generation}

    return router
