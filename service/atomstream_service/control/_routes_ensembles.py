"""Ensembles: the registry and hot load."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field

from ._answers import ActivatedShown, EnsembleDetails, EnsembleList, EnsembleRegistered, Generation, RolledBack
from ._requests import Actor, Expected, InControl
from ._service import Service
from ._uses import use_of


class Activation(BaseModel):
    """How a registered ensemble shall run."""

    model_config = ConfigDict(extra="forbid")

    mode: Literal["live", "shadow"] = Field("live", description="live = answer frames; shadow = run beside the live one on every Nth frame and be compared")
    reason: str = Field("", max_length=2000)


class Rollback(BaseModel):
    """Going back to the ensemble before."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field("", max_length=2000)


def ensemble_routes(service: Service) -> APIRouter:
    """Routes under /v1/ensembles."""
    router = APIRouter(tags=["ensembles"])
    in_control = [Depends(InControl(service))]

    @router.get("/v1/ensembles", summary="Registered ensembles, and what each is used for", response_model=EnsembleList)
    def ensembles() -> dict[str, Any]:
        listed = [{**entry.as_json(), "use": use_of(service.wish, entry.name, entry.version)} for entry in service.registry.entries()]
        back = service.ensembles.rollback_to
        return {"generation": service.wish.generation, "rollback_to": None if back is None else _named(back), "ensembles": listed}

    @router.get("/v1/ensembles/{name}/{version}", summary="One ensemble: its card and how it was accepted", response_model=EnsembleDetails)
    def ensemble(name: str, version: str) -> dict[str, Any]:
        entry = service.registry.get(name, version)
        return {**entry.as_json(), "use": use_of(service.wish, name, version), "card": service.registered(name, version).card.model_dump(mode="json")}

    @router.post(
        "/v1/ensembles",
        status_code=201,
        summary="Register an ensemble",
        response_model=EnsembleRegistered,
        dependencies=in_control,
        openapi_extra={"requestBody": {"required": True, "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}}}},
    )
    async def upload(request: Request, response: Response, actor: Actor, expected: Expected) -> dict[str, Any]:
        """The body is a bundle as zip. It is opened in a process of its own; the live ensemble is not touched, and what fails a check stays out."""
        service.keeper.check(expected)
        with service.registry.upload(service.config.max_upload_bytes) as upload:
            async for chunk in request.stream():
                await run_in_threadpool(upload.write, chunk)
            service.keeper.check(expected)  # a large one takes a while
            entry = await run_in_threadpool(upload.accept, source="upload", actor=actor)
        if upload.new:
            await run_in_threadpool(service.note_registered, entry, actor)
        response.headers["Location"] = f"/v1/ensembles/{entry.name}/{entry.version}"
        return {**entry.as_json(), **_from(response, service.wish.generation)}

    @router.post(
        "/v1/ensembles/{name}/{version}/activate",
        summary="Make an ensemble live, or run it beside the live one",
        response_model=ActivatedShown,
        dependencies=in_control,
    )
    def activate(name: str, version: str, wanted: Activation, actor: Actor, expected: Expected, response: Response) -> dict[str, Any]:
        call = service.ensembles.activate if wanted.mode == "live" else service.ensembles.shadow
        done = call(name, version, actor, wanted.reason, expected)
        return {**_from(response, done.generation), "mode": wanted.mode, "load_s": done.load_s, "ensemble": _named(service.wish.live.ensemble)}

    @router.post("/v1/ensembles/rollback", summary="Go back to the ensemble that was live before", response_model=RolledBack, dependencies=in_control)
    def rollback(wanted: Rollback, actor: Actor, expected: Expected, response: Response) -> dict[str, Any]:
        done = service.ensembles.rollback(actor, wanted.reason, expected)
        return {**_from(response, done.generation), "load_s": done.load_s, "ensemble": _named(service.wish.live.ensemble)}

    @router.delete(
        "/v1/ensembles/candidate",
        summary="Take the candidate off the bench",
        response_model=Generation,
        dependencies=in_control,
        responses={404: {"description": "no ensemble runs beside the live one"}},
    )
    def drop_candidate(response: Response, actor: Actor, expected: Expected, reason: str = "") -> dict[str, Any]:
        return _from(response, service.ensembles.drop_candidate(actor, reason, expected))

    @router.delete("/v1/ensembles/{name}/{version}", summary="Remove an ensemble that is not in use", response_model=Generation, dependencies=in_control)
    def remove(name: str, version: str, response: Response, actor: Actor, expected: Expected, reason: str = "") -> dict[str, Any]:
        return _from(response, service.remove_ensemble(name, version, actor, reason, expected))

    return router


def _from(response: Response, generation: int) -> dict[str, Any]:
    """From which generation a change holds, also in the response's ETag."""
    response.headers["ETag"] = f'"{generation}"'
    return {"generation": generation}


def _named(ref: Any) -> dict[str, str]:
    return {"name": ref.name, "version": ref.version, "sha256": ref.sha256}
