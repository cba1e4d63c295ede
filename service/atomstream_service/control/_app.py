"""The control plane's HTTP."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.responses import RedirectResponse
from starlette.middleware.trustedhost import TrustedHostMiddleware

from ._problems import install_problems
from ._routes_frames import frame_routes
from ._routes_health import health_routes
from ._routes_members import member_routes
from ._service import Service

_LOOPBACK_NAMES = ["localhost", "127.0.0.1", "[::1]", "::1"]


def create_app(service: Service) -> FastAPI:
    """The REST API over a service, OpenAPI at /docs."""
    app = FastAPI(title="Atomstream", description="Control plane of the Atomstream inference service.", version="1")
    # A page elsewhere that resolves its own name to this machine must not get an answer.
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=_LOOPBACK_NAMES)
    install_problems(app)
    for routes in (health_routes, member_routes, frame_routes):
        app.include_router(routes(service))

    @app.get("/", include_in_schema=False)
    def root() -> RedirectResponse:
        return RedirectResponse("/docs")

    return app
