"""Every error in the API's description, in the form that it really has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, Field

from ._problems import PROBLEM_MEDIA_TYPE, is_protocol
from .oip import Refused

_MEANINGS = {
    400: "the request can't be read, or is not for this service",
    404: "there is no such thing",
    409: "the state does not allow it",
    412: "the state has changed since the generation in If-Match",
    413: "the body is larger than allowed",
    422: "the request is not one that this route takes",
    423: "somebody else is in control",
    503: "the engine is away or busy; try again",
    507: "the disk is full, and what can't be journalled is not done",
}


class Problem(BaseModel):
    """Every error outside /v2 (RFC 9457)."""

    type: str = Field(description="urn:atomstream:CODE")
    title: str
    status: int
    code: str = Field(description="the reason in a word, stable for programs")
    detail: str = Field(description="the reason in a sentence, with the numbers")


def describe_errors(app: FastAPI) -> None:
    """Have the description name each route's errors.

    What follows from what a route takes is added here; what is its own stands at the route, as `responses={404: {"description": "..."}}`. Either
    way the form is filled in: a problem document, or the protocol's own under /v2.
    """
    describe = app.openapi

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = describe()
            schemas = schema.setdefault("components", {}).setdefault("schemas", {})
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
            schemas |= {model.__name__: model.model_json_schema() for model in (Problem, Refused)}
            for path, operations in schema["paths"].items():
                for method, operation in operations.items():
                    _describe(path, method, operation)
        return app.openapi_schema or {}

    app.openapi = described  # type: ignore[method-assign]


def _describe(path: str, method: str, operation: dict[str, Any]) -> None:
    responses: dict[str, Any] = operation["responses"]
    responses.pop("422", None)
    if path.startswith("/v1/") or is_protocol(path):
        for status in _statuses(path, method, operation):
            responses.setdefault(str(status), {"description": _MEANINGS[status]})
    form = ("application/json", Refused) if is_protocol(path) else (PROBLEM_MEDIA_TYPE, Problem)
    for code, response in responses.items():
        if code >= "400" and "content" not in response:
            response["content"] = {form[0]: {"schema": {"$ref": f"#/components/schemas/{form[1].__name__}"}}}
    operation["responses"] = dict(sorted(responses.items()))


def _statuses(path: str, method: str, operation: Mapping[str, Any]) -> Iterator[int]:
    taken = {one["name"].lower() for one in operation.get("parameters", ())}
    yield 400
    if "{" in path:
        yield 404
    if "x-atomstream-lease" in taken:
        yield from (409, 423, 507)
    if "if-match" in taken:
        yield 412
    if "requestBody" in operation:
        yield 413
    if (taken or "requestBody" in operation) and not is_protocol(path):
        yield 422
    if method != "get":
        yield 503
