"""Every error as application/problem+json (RFC 9457), or as the Open Inference Protocol has it under /v2."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from atomstream_models.bundle import BundleError
from atomstream_models.errors import ExtraMissing

from ..record import RecordingFailed, RecordingRefused
from ..refinements import RefinementBusy, RefinementRefused, RefinementUnknown
from ..registry import BundleRefused, NoRoom, NotRegistered, UploadTooLarge, VersionTaken
from ..transport import CommandRefused, EngineSilent, EngineUnavailable
from ._refusal import RequestRefused
from ._store import StoreUnwritable

PROBLEM_MEDIA_TYPE = "application/problem+json"

_STATUS_OF_CODE = {
    "busy": 503,
    "timeout": 504,
    "no_frame": 404,
    "no_layer": 404,
    "too_small": 422,
    "not_finite": 422,
    "scale_out_of_reach": 422,
    "no_member": 503,
    "no_recorder": 503,
    "recorded_already": 409,
    # An ensemble that can't run here; the one that answers is untouched.
    "archive": 409,
    "card": 409,
    "checksum": 409,
    "member": 409,
    "golden": 409,
    "acceptance": 409,
    "load": 409,
}


def problem(status: int, code: str, detail: str, **more: object) -> JSONResponse:
    """A problem document; `code` is the reason in a word, stable for programs."""
    body = {"type": f"urn:atomstream:{code}", "title": HTTPStatus(status).phrase, "status": status, "code": code, "detail": detail, **more}
    return JSONResponse(body, status, _headers(status), media_type=PROBLEM_MEDIA_TYPE)


def is_protocol(path: str) -> bool:
    """Whether a path belongs to the Open Inference Protocol."""
    return path == "/v2" or path.startswith("/v2/")


def refusal(path: str, status: int, code: str, detail: str, **more: object) -> JSONResponse:
    """The answer to a request that is not carried out, in the words of the API that its path belongs to."""
    if not is_protocol(path):
        return problem(status, code, detail, **more)
    # The Open Inference Protocol knows 400 for everything that is wrong with a request itself.
    return JSONResponse({"error": detail}, 400 if status == 422 else status, _headers(status))


def _headers(status: int) -> dict[str, str] | None:
    return {"Retry-After": "1"} if status == 503 else None


@dataclass(frozen=True)
class _Answer:
    """How an exception is answered; code : None where the exception has a `code` of its own, whose status the table below knows."""

    status: int
    code: str | None = None
    after: str = ""


_ANSWERS: Mapping[type[Exception], _Answer] = {
    NotRegistered: _Answer(404, "not_registered"),
    VersionTaken: _Answer(409, "version_taken"),
    UploadTooLarge: _Answer(413, "too_large"),
    NoRoom: _Answer(507, "no_room"),
    RefinementUnknown: _Answer(404, "no_refinement"),
    RefinementBusy: _Answer(503, "refinements_busy"),
    RefinementRefused: _Answer(409, "refinement_refused"),
    ExtraMissing: _Answer(501, "extra_missing"),
    RecordingFailed: _Answer(507, "recording_failed"),
    StoreUnwritable: _Answer(507, "not_journalled"),
    CommandRefused: _Answer(500),
    EngineSilent: _Answer(503, "engine_silent", "; a change of members is remembered and holds once it does"),
    EngineUnavailable: _Answer(503, "engine_unavailable"),
}


def install_problems(app: FastAPI) -> None:
    """Translate every exception that a route can raise."""
    for kind, answer in _ANSWERS.items():
        app.add_exception_handler(kind, _handler(answer))

    @app.exception_handler(RequestRefused)
    async def _refused(request: Request, error: RequestRefused) -> JSONResponse:
        return refusal(request.url.path, error.status, error.code, str(error))

    @app.exception_handler(RecordingRefused)
    async def _recording(request: Request, error: RecordingRefused) -> JSONResponse:
        return refusal(request.url.path, {"unknown": 404, "bad_name": 422}.get(error.code, 409), error.code, str(error))

    @app.exception_handler(BundleRefused)
    async def _refused_bundle(request: Request, error: BundleRefused) -> JSONResponse:
        return refusal(request.url.path, 422, "bundle_refused", str(error), report=error.report.as_json())

    @app.exception_handler(BundleError)
    async def _bundle(request: Request, error: BundleError) -> JSONResponse:
        return refusal(request.url.path, _STATUS_OF_CODE.get(error.check, 500), error.check, str(error))

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        return refusal(request.url.path, error.status_code, HTTPStatus(error.status_code).name.lower(), str(error.detail))

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        problems = [{"where": ".".join(map(str, one["loc"])), "what": one["msg"]} for one in error.errors()]
        detail = "; ".join(f"{one['where']}: {one['what']}" for one in problems)
        return refusal(request.url.path, 422, "bad_request", detail, errors=problems)

    @app.exception_handler(Exception)
    async def _bug(request: Request, error: Exception) -> JSONResponse:
        return refusal(request.url.path, 500, "internal", f"{type(error).__name__}: {error}")


def _handler(answer: _Answer) -> Callable[[Request, Exception], Awaitable[JSONResponse]]:
    async def handle(request: Request, error: Exception) -> JSONResponse:
        code = answer.code or str(getattr(error, "code", "internal"))
        status = answer.status if answer.code else _STATUS_OF_CODE.get(code, answer.status)
        return refusal(request.url.path, status, code, f"{error}{answer.after}")

    return handle
