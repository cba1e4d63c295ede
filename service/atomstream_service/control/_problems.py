"""Every error as application/problem+json (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from atomstream_models.errors import ExtraMissing

from ..record import RecordingFailed, RecordingRefused
from ..refinements import RefinementBusy, RefinementRefused, RefinementUnknown
from ..registry import BundleRefused, NoRoom, NotRegistered, UploadTooLarge, VersionTaken
from ..transport import CommandRefused, EngineSilent, EngineUnavailable
from ._refusal import RequestRefused

_STATUS_OF_CODE = {
    "busy": 503,
    "timeout": 504,
    "no_frame": 404,
    "no_layer": 404,
    "too_small": 422,
    "not_finite": 422,
    "scale_out_of_reach": 422,
    "no_member": 503,
}


def problem(status: int, code: str, detail: str, **more: object) -> JSONResponse:
    """A problem document; `code` is the reason in a word, stable for programs."""
    body = {"type": f"urn:atomstream:{code}", "title": HTTPStatus(status).phrase, "status": status, "code": code, "detail": detail, **more}
    headers = {"Retry-After": "1"} if status == 503 else None
    return JSONResponse(body, status, headers, media_type="application/problem+json")


def install_problems(app: FastAPI) -> None:
    """Translate every exception that a route can raise."""

    @app.exception_handler(RequestRefused)
    async def _refused(request: Request, error: RequestRefused) -> JSONResponse:
        return problem(error.status, error.code, str(error))

    @app.exception_handler(NotRegistered)
    async def _not_registered(request: Request, error: NotRegistered) -> JSONResponse:
        return problem(404, "not_registered", str(error))

    @app.exception_handler(BundleRefused)
    async def _refused_bundle(request: Request, error: BundleRefused) -> JSONResponse:
        return problem(422, "bundle_refused", str(error), report=error.report.as_json())

    @app.exception_handler(VersionTaken)
    async def _taken(request: Request, error: VersionTaken) -> JSONResponse:
        return problem(409, "version_taken", str(error))

    @app.exception_handler(UploadTooLarge)
    async def _too_large(request: Request, error: UploadTooLarge) -> JSONResponse:
        return problem(413, "too_large", str(error))

    @app.exception_handler(NoRoom)
    async def _no_room(request: Request, error: NoRoom) -> JSONResponse:
        return problem(507, "no_room", str(error))

    @app.exception_handler(RefinementUnknown)
    async def _no_refinement(request: Request, error: RefinementUnknown) -> JSONResponse:
        return problem(404, "no_refinement", str(error))

    @app.exception_handler(RefinementBusy)
    async def _refinement_busy(request: Request, error: RefinementBusy) -> JSONResponse:
        return problem(503, "refinements_busy", str(error))

    @app.exception_handler(RefinementRefused)
    async def _refinement_refused(request: Request, error: RefinementRefused) -> JSONResponse:
        return problem(409, "refinement_refused", str(error))

    @app.exception_handler(ExtraMissing)
    async def _extra(request: Request, error: ExtraMissing) -> JSONResponse:
        return problem(501, "extra_missing", str(error))

    @app.exception_handler(RecordingRefused)
    async def _recording(request: Request, error: RecordingRefused) -> JSONResponse:
        return problem({"unknown": 404, "bad_name": 422}.get(error.code, 409), error.code, str(error))

    @app.exception_handler(RecordingFailed)
    async def _recording_failed(request: Request, error: RecordingFailed) -> JSONResponse:
        return problem(507, "recording_failed", str(error))

    @app.exception_handler(CommandRefused)
    async def _command(request: Request, error: CommandRefused) -> JSONResponse:
        return problem(_STATUS_OF_CODE.get(error.code, 500), error.code, str(error))

    @app.exception_handler(EngineSilent)
    async def _silent(request: Request, error: EngineSilent) -> JSONResponse:
        return problem(503, "engine_silent", f"{error}; a change of members is remembered and holds once it does")

    @app.exception_handler(EngineUnavailable)
    async def _unavailable(request: Request, error: EngineUnavailable) -> JSONResponse:
        return problem(503, "engine_unavailable", str(error))

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        return problem(error.status_code, HTTPStatus(error.status_code).name.lower(), str(error.detail))

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        problems = [{"where": ".".join(map(str, one["loc"])), "what": one["msg"]} for one in error.errors()]
        detail = "; ".join(f"{one['where']}: {one['what']}" for one in problems)
        return problem(422, "bad_request", detail, errors=problems)

    @app.exception_handler(Exception)
    async def _bug(request: Request, error: Exception) -> JSONResponse:
        return problem(500, "internal", f"{type(error).__name__}: {error}")
