"""The control plane's HTTP."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from ..access import RULES, Rules, body_limits
from ..traces import Traces
from ._bodies import BoundedBodies
from ._describe import describe_access
from ._describe_errors import describe_errors
from ._gate import Gate
from ._problems import install_problems
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
from .live import live_routes
from .oip import protocol_routes
from .page import page_routes


def create_app(service: Service, traces: Traces | None = None) -> FastAPI:
    """The REST API over a service, OpenAPI at /docs; `traces` take note of its requests."""
    # Beside an instrument, files of the documentation's page that come from elsewhere would not come.
    app = FastAPIOffline(
        title="Atomstream",
        description="Control plane of the Atomstream inference service.",
        version="1",
        static_url="/docs-files",
        favicon_url="/page/icon.svg",
    )
    config, rules = service.config, Rules(RULES)
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
        live_routes,
        protocol_routes,
    ):
        app.include_router(routes(service))
    app.include_router(page_routes())
    describe_access(app, rules, open_here=config.access == "loopback-open")
    # After the roles, whose refusals it gives their form.
    describe_errors(app)
    # The one added last is met first.
    app.add_middleware(BoundedBodies, rules=rules, limits=body_limits(config.max_pixels, config.max_upload_bytes))
    app.add_middleware(Gate, config=config, keeper=service.gatekeeper, rules=rules)
    return app
