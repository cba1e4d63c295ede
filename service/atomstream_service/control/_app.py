"""The control plane's HTTP."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.responses import RedirectResponse

from ..access import RULES, Gatekeeper, Rules, TokenFile, body_limits
from ._bodies import BoundedBodies
from ._describe import describe_access
from ._gate import Gate
from ._problems import install_problems
from ._routes_ensembles import ensemble_routes
from ._routes_frames import frame_routes
from ._routes_health import health_routes
from ._routes_lease import lease_routes
from ._routes_members import member_routes
from ._service import Service


def create_app(service: Service) -> FastAPI:
    """The REST API over a service, OpenAPI at /docs."""
    app = FastAPI(title="Atomstream", description="Control plane of the Atomstream inference service.", version="1")
    config, rules = service.config, Rules(RULES)
    keeper = Gatekeeper(TokenFile(config.state), config.access)
    install_problems(app)
    app.include_router(health_routes(service, keeper))
    for routes in (member_routes, ensemble_routes, lease_routes, frame_routes):
        app.include_router(routes(service))

    @app.get("/", include_in_schema=False)
    def root() -> RedirectResponse:
        return RedirectResponse("/docs")

    describe_access(app, rules)
    # The one added last is met first.
    app.add_middleware(BoundedBodies, rules=rules, limits=body_limits(config.max_pixels, config.max_upload_bytes))
    app.add_middleware(Gate, config=config, keeper=keeper, rules=rules)
    return app
