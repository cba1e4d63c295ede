from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any, TypeAlias

import httpx
import pytest
import schemathesis
from conftest import dots, make_plain_bundle
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import SearchStrategy
from schemathesis import APIOperation, BaseSchema, Case, GenerationMode
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import content_type_conformance, negative_data_rejection, response_schema_conformance, status_code_conformance

from atomstream_client import Atoms, FramePublisher, ResultSubscriber
from atomstream_service.demo import Launched, launched

AnyCase: TypeAlias = Case[Any]

EXISTING = {"name": "plain", "model": "plain", "version": "1", "member": "m00"}
"""Parameters of paths, with values that exist."""

schemathesis.serializer.alias("application/zip", "application/octet-stream")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    """A throwaway service that may be told anything, after it has answered one frame."""
    folder = tmp_path_factory.mktemp("openapi")
    bundle = make_plain_bundle(folder / "plain", biases=(-1.0, -2.0, -1.5))
    with launched(folder / "state", bundle=str(bundle.folder), config="warm_shapes = [[64, 64]]\nmax_pixels = 65536\n") as service:
        with FramePublisher("test/openapi", service.frames) as publisher, ResultSubscriber(service.results, kinds=("atoms",)) as results:
            assert publisher.wait_for_reader()
            time.sleep(0.2)
            publisher.publish(dots((64, 64), [(20.0, 20.0), (40.0, 40.0)]))
            assert isinstance(results.receive(30), Atoms)
        yield service


@pytest.fixture(scope="module")
def api(server: Launched) -> BaseSchema:
    return schemathesis.openapi.from_url(f"{server.url}/openapi.json")


def _strategy(operation: APIOperation[Any, Any, Any, Any], requests: str) -> SearchStrategy[AnyCase] | None:
    """Requests to an operation: as described, as described but about what exists, or against its description; None where there are no such."""
    names = re.findall(r"{(\w+)}", operation.path)
    if requests == "existing":
        return operation.as_strategy(path_parameters={name: EXISTING[name] for name in names}) if names and set(names) <= set(EXISTING) else None
    if requests == "allowed":
        return operation.as_strategy()
    described = operation.definition.raw
    takes = "requestBody" in described or any(one["in"] != "path" for one in described.get("parameters", ()))
    return operation.as_strategy(GenerationMode.NEGATIVE) if takes else None


def _faults(strategy: SearchStrategy[AnyCase]) -> list[str]:
    """What an operation answers against its own description, and every error of the service's own."""
    faults: list[str] = []

    @settings(max_examples=6, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(case=strategy)
    def ask(case: AnyCase) -> None:
        answer = case.call(timeout=60)
        if answer.status_code >= 500 and answer.status_code not in (501, 503, 504, 507):
            faults.append(f"{case.as_curl_command()}: {answer.status_code} {answer.text[:500]}")
        try:
            case.validate_response(answer, [status_code_conformance, content_type_conformance, response_schema_conformance, negative_data_rejection])
        except FailureGroup as group:
            faults.extend(f"{case.as_curl_command()}: {answer.status_code}: {one}" for one in group.exceptions)

    ask()
    return faults


def _calm(server: Launched) -> None:
    """End what requests so far have begun: somebody's lease, and refinements, which would go on for minutes."""
    httpx.delete(f"{server.url}/v1/lease", params={"force": True}, timeout=60)
    for one in httpx.get(f"{server.url}/v1/refinements", timeout=60).json()["refinements"]:
        httpx.delete(f"{server.url}/v1/refinements/{one['id']}", timeout=60)


@pytest.mark.parametrize("requests", ["allowed", "existing", "forbidden"])
def test_whatever_is_asked_is_answered_as_the_description_says_and_never_with_an_error_of_the_service(server: Launched, api: BaseSchema, requests: str) -> None:
    faults, asked = [], 0
    for operation in (one.ok() for one in api.get_all_operations() if isinstance(one, Ok)):
        _calm(server)
        strategy = _strategy(operation, requests)
        if strategy is not None:
            asked += 1
            faults += _faults(strategy)
    status = httpx.get(f"{server.url}/v1/status").json()["engine"]

    assert faults == []
    assert asked > 10
    assert (status["state"], status["restarts"]) == ("ready", 0)


def test_every_error_of_every_route_is_described_in_its_own_form(server: Launched) -> None:
    described = httpx.get(f"{server.url}/openapi.json").json()
    errors = {
        (path, status): next(iter(answer["content"].items()))
        for path, operations in described["paths"].items()
        for operation in operations.values()
        for status, answer in operation["responses"].items()
        if status >= "400" and path != "/readyz"
    }

    assert {kind for (path, _), (kind, _) in errors.items() if path.startswith("/v1")} == {"application/problem+json"}
    assert {content["schema"]["$ref"] for (path, _), (_, content) in errors.items() if path.startswith("/v2")} == {"#/components/schemas/Refused"}
    assert {status for path, status in errors if path == "/v1/ensembles/{name}/{version}/activate"} >= {"400", "404", "409", "412", "413", "422", "423", "503"}
    assert "422" not in {status for path, status in errors if path.startswith("/v2")}
    assert "HTTPValidationError" not in described["components"]["schemas"]
