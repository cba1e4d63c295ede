"""Inference."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from fastapi.concurrency import run_in_threadpool

from ...access import Body, body_limits
from .._service import Service
from .._single import infer_one
from ._answer import answer, check_size
from ._body import read_inference
from ._coding import decoded
from ._frames import frames_of
from ._infer import infer_batch
from ._messages import InferenceRequest, InferenceResponse
from ._model import check_live
from ._schema import inlined
from ._wanted import wanted_of

_BINARY = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_TAKES = {"requestBody": {"required": True, "content": {"application/json": {"schema": inlined(InferenceRequest)}, **_BINARY}}}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "JSON, which the outputs asked for as binary data follow", "model": InferenceResponse, "content": _BINARY},
    415: {"description": "the body is compressed in another way than gzip or deflate"},
    504: {"description": "the frame was not answered in time"},
}


def infer_routes(service: Service) -> APIRouter:
    """Routes that answer frames."""
    router = APIRouter(prefix="/v2")
    most = body_limits(service.config.max_pixels, 0)[Body.FRAME]

    @router.post(
        "/models/{model}/infer",
        summary="Maps and atoms of frames, now",
        response_class=Response,
        responses=_ANSWERS,
        openapi_extra=_TAKES,
    )
    @router.post(
        "/models/{model}/versions/{version}/infer",
        summary="Maps and atoms of frames by this version, now",
        response_class=Response,
        responses=_ANSWERS,
        openapi_extra=_TAKES,
    )
    async def infer(
        request: Request,
        model: str,
        version: str | None = None,
        json_length: Annotated[
            str | None, Header(alias="Inference-Header-Content-Length", description="bytes of the JSON that binary data follow; the body is all JSON without")
        ] = None,
        coding: Annotated[str | None, Header(alias="Content-Encoding", description="gzip or deflate, where the body is compressed")] = None,
        accepted_coding: Annotated[str | None, Header(alias="Accept-Encoding", description="gzip or deflate alone compresses the answer")] = None,
    ) -> Response:
        """Frames are answered one by one and never delay the stream by more than one frame each. Only the live ensemble answers."""
        body = await request.body()
        return await run_in_threadpool(_infer, model, version, body, json_length, coding, accepted_coding)

    def _infer(model: str, version: str | None, body: bytes, json_length: str | None, coding: str | None, accepted_coding: str | None) -> Response:
        live = check_live(service, model, version)
        received = read_inference(decoded(body, coding, most), json_length)
        wanted = wanted_of(received.message)
        frames = frames_of(received.message.inputs[0], received.binary, service.config.max_pixels)
        check_size(frames.size, wanted.binary, len(service.registered(live.name, live.version).card.classes))
        batch = infer_batch(frames, lambda frame: infer_one(service, frame, wanted.pixel_size_nm, maps=wanted.maps), live)
        return answer(received.message.id, live, batch, wanted.binary, accepted_coding)

    return router
