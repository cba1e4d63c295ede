"""The control plane's HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request, Response
from fastapi.responses import RedirectResponse

from ..traces import Traces
from ._describe_errors import describe_errors
from ._problems import install_problems, refusal
from ._routes_drift import drift_routes
from ._routes_ensembles import ensemble_routes
from ._routes_frames import frame_routes
from ._routes_health import health_routes
from ._routes_lease import lease_routes
from ._routes_members import member_routes
from ._routes_recordings import recording_routes
from ._routes_refinements import refinement_routes
from ._service import Service
from ._tracing import install_tracing
from .oip import protocol_routes

_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


def create_app(service: Service, traces: Traces | None = None) -> FastAPI:
    """The REST API over a service, OpenAPI at /docs; `traces` take note of its requests."""
    app = FastAPI(title="Atomstream", description="Control plane of the Atomstream inference service.", version="1")
    hosts = {*_LOOPBACK_NAMES, service.config.http_host}

    @app.middleware("http")
    async def _known_host_only(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        # A page elsewhere that resolves its own name to this machine must not get an answer.
        if request.url.hostname not in hosts:
            return refusal(request.url.path, 400, "bad_host", f"this service is not called {request.url.hostname!r}")
        return await answer(request)

    if traces is not None:
        install_tracing(app, traces)
    install_problems(app)
    for routes in (
        health_routes,
        member_routes,
        ensemble_routes,
        drift_routes,
        recording_routes,
        refinement_routes,
        lease_routes,
        frame_routes,
        protocol_routes,
    ):
        app.include_router(routes(service))

    @app.get("/", include_in_schema=False)
    def root() -> RedirectResponse:
        return RedirectResponse("/docs")

    describe_errors(app)
    return app
