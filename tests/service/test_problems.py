from __future__ import annotations

import asyncio

import httpx
import pytest
from fastapi import FastAPI

from atomstream_models.bundle import BundleError
from atomstream_service.control._problems import install_problems
from atomstream_service.transport import CommandRefused


def _answer(path: str, error: Exception) -> httpx.Response:
    """What a route answers that raises an error."""
    app = FastAPI()
    install_problems(app)

    @app.get(path)
    def refused() -> None:
        raise error

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
            return await client.get(path)

    return asyncio.run(ask())


@pytest.mark.parametrize("code", ["archive", "card", "checksum", "member", "golden", "acceptance", "load"])
@pytest.mark.parametrize("kind", [CommandRefused, BundleError])
def test_an_ensemble_that_can_t_run_here_is_a_conflict_and_no_error_of_the_service(code: str, kind: type[CommandRefused | BundleError]) -> None:
    answer = _answer("/v1/anything", kind(code, "its own sentence"))

    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.json()["code"], answer.json()["detail"]) == (code, "its own sentence")


@pytest.mark.parametrize(("code", "status"), [("not_finite", 400), ("busy", 503), ("load", 409)])
def test_under_v2_the_same_refusal_has_the_protocol_s_form(code: str, status: int) -> None:
    answer = _answer("/v2/models/plain", CommandRefused(code, "its own sentence"))

    assert (answer.status_code, answer.json()) == (status, {"error": "its own sentence"})
    assert ("Retry-After" in answer.headers) == (status == 503)
