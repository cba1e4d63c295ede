"""Routes under /v2."""

from __future__ import annotations

from fastapi import APIRouter

from .._service import Service
from ._routes_infer import infer_routes
from ._routes_metadata import metadata_routes
from ._routes_repository import repository_routes


def protocol_routes(service: Service) -> APIRouter:
    """Health, metadata, inference and the model repository."""
    router = APIRouter(tags=["open inference protocol"])
    for routes in (metadata_routes, infer_routes, repository_routes):
        router.include_router(routes(service))
    return router
