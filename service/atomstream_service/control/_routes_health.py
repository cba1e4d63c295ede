"""Health, status, metrics, journal."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse

from ..access import Role
from ._answers import Journal
from ._requests import AskedBy
from ._service import Service


def health_routes(service: Service) -> APIRouter:
    """Routes that only read."""
    router = APIRouter(tags=["health"])

    @router.get("/healthz", summary="The control plane is alive")
    async def healthz() -> dict[str, str]:
        return {"status": "alive"}

    @router.get(
        "/readyz", summary="An ensemble is active and warm", responses={503: {"description": "not ready, with reasons", "content": {"application/json": {}}}}
    )
    def readyz(caller: AskedBy) -> JSONResponse:
        """Reasons are told to viewers, not to strangers."""
        reasons = service.not_ready()
        told = {"reasons": reasons} if caller.may(Role.VIEWER) else {}
        return JSONResponse({"ready": not reasons, **told}, 503 if reasons else 200)

    @router.get("/v1/status", summary="Engine, ensemble, streams, latency, memory")
    def status() -> dict[str, Any]:
        return service.status()

    @router.get("/metrics", summary="Prometheus metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    def metrics() -> Response:
        return Response(service.metrics.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @router.get("/v1/journal", summary="Who changed what, when, why, from what to what: the newest, or those after an id", response_model=Journal)
    def journal(after: Annotated[int | None, Query(ge=0, le=1 << 62)] = None, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> dict[str, Any]:
        return {"entries": service.store.journal(after, limit)}

    return router
