"""A span for each request that changes or computes something."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request, Response

from ..traces import Attribute, Stage, Traces

_ONLY_READ = ("GET", "HEAD", "OPTIONS")


def install_tracing(app: FastAPI, traces: Traces) -> None:
    """Make a span of every request that does not only read, as part of the caller's trace where it sends `traceparent`."""

    @app.middleware("http")
    async def _traced(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        if request.method in _ONLY_READ:
            return await answer(request)
        start_s, begun = time.time(), time.perf_counter()
        status = 500
        try:
            response = await answer(request)
            status = response.status_code
        finally:
            # The route's pattern, as a path of its own for each member would be.
            path = getattr(request.scope.get("route"), "path", "unknown")
            whole = Stage(f"{request.method} {path}", start_s, start_s + time.perf_counter() - begun)
            attributes: dict[str, Attribute] = {"http.request.method": request.method, "http.route": path, "http.response.status_code": status}
            traces.add(whole, attributes=attributes, headers=request.headers, failed=status >= 500)
        return response
