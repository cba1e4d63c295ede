"""The model repository: the registry and hot load in the protocol's words."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from .._refusal import RequestRefused
from .._requests import Actor, Expected, InControl
from .._service import Service
from ._body import read_json
from ._messages import IndexEntry, IndexRequest, RepositoryRequest
from ._model import find, index
from ._schema import inlined

_REASON = "open inference protocol"
_UNLOAD_HINT = "unload_dependents"

Version = Annotated[str | None, Query(max_length=100, description="which version, where a name has several")]
Reason = Annotated[str, Query(max_length=2000, description="for the journal")]


def repository_routes(service: Service) -> APIRouter:
    """Routes under /v2/repository."""
    router = APIRouter(prefix="/v2/repository")
    in_control = [Depends(InControl(service))]

    @router.post("/index", summary="Registered ensembles; the live one is READY", openapi_extra=_takes(IndexRequest))
    async def listed(request: Request) -> list[IndexEntry]:
        wanted = read_json(await request.body(), IndexRequest)
        entries = await run_in_threadpool(index, service)
        return [one for one in entries if one.state == "READY" or not wanted.ready]

    @router.post("/models/{model}/load", summary="Make an ensemble the live one", dependencies=in_control, openapi_extra=_takes(RepositoryRequest))
    async def load(
        request: Request, response: Response, model: str, actor: Actor, expected: Expected, version: Version = None, reason: Reason = _REASON
    ) -> dict[str, Any]:
        """Loaded and warmed beside the one that answers, swapped between two frames: the same as activating it live."""
        await _check_parameters(request)
        generation = await run_in_threadpool(_load, model, version, actor, reason, expected)
        response.headers["ETag"] = f'"{generation}"'
        return {}

    @router.post("/models/{model}/unload", summary="Take a candidate off the bench", dependencies=in_control, openapi_extra=_takes(RepositoryRequest))
    async def unload(request: Request, model: str, actor: Actor, expected: Expected, version: Version = None, reason: Reason = _REASON) -> dict[str, Any]:
        """The live ensemble can't be unloaded, since one must answer; one that is not loaded is left as it is."""
        await _check_parameters(request, _UNLOAD_HINT)
        await run_in_threadpool(_unload, model, version, actor, reason, expected)
        return {}

    def _load(model: str, version: str | None, actor: str, reason: str, expected: int | None) -> int:
        name, found = find(service, model, version)
        return service.ensembles.activate(name, found, actor, reason, expected).generation

    def _unload(model: str, version: str | None, actor: str, reason: str, expected: int | None) -> None:
        name, found = find(service, model, version)
        service.keeper.check(expected)
        wish = service.wish
        if (name, found) == (wish.live.ensemble.name, wish.live.ensemble.version):
            raise RequestRefused(409, "live", f"{name} {found} is the live ensemble and one must answer: load another, or roll back")
        if wish.candidate is not None and (name, found) == (wish.candidate.name, wish.candidate.version):
            service.ensembles.drop_candidate(actor, reason, expected)

    return router


async def _check_parameters(request: Request, *known: str) -> None:
    sent = read_json(await request.body(), RepositoryRequest).parameters
    if unknown := [name for name in sent if name not in known]:
        raise RequestRefused(400, "unknown_parameter", f"{', '.join(unknown)} can't be given here: an ensemble is loaded as it was registered")


def _takes(model: type[BaseModel]) -> dict[str, Any]:
    return {"requestBody": {"required": False, "content": {"application/json": {"schema": inlined(model)}}}}
