"""Health and metadata."""

from __future__ import annotations

from importlib.metadata import version as version_of
from typing import Any

from fastapi import APIRouter

from .._refusal import RequestRefused
from .._service import Service
from ._messages import ModelMetadata, ModelReady, ServerLive, ServerMetadata, ServerReady
from ._model import check_live, configuration, find, metadata

_EXTENSIONS = ["binary_tensor_data", "model_configuration", "model_repository"]


def metadata_routes(service: Service) -> APIRouter:
    """Routes that only read."""
    router = APIRouter(prefix="/v2")

    @router.get("", summary="The server and its extensions of the protocol")
    def server() -> ServerMetadata:
        return ServerMetadata(name="atomstream", version=version_of("atomstream"), extensions=_EXTENSIONS)

    @router.get("/health/live", summary="The control plane is alive")
    def live() -> ServerLive:
        return ServerLive()

    @router.get("/health/ready", summary="An ensemble answers", responses={400: {"description": "not ready, with reasons"}})
    def ready() -> ServerReady:
        _check_ready()
        return ServerReady()

    @router.get("/models/{model}", summary="What an ensemble takes and gives")
    @router.get("/models/{model}/versions/{version}", summary="What a version of an ensemble takes and gives")
    def described(model: str, version: str | None = None) -> ModelMetadata:
        return metadata(service, *find(service, model, version))

    @router.get("/models/{model}/ready", summary="Whether an ensemble is the live one and answers")
    @router.get("/models/{model}/versions/{version}/ready", summary="Whether a version of an ensemble is the live one and answers")
    def model_ready(model: str, version: str | None = None) -> ModelReady:
        check_live(service, model, version)
        _check_ready()
        return ModelReady(name=model)

    @router.get("/models/{model}/config", summary="The same as the metadata, in the words of Triton's model configuration")
    @router.get("/models/{model}/versions/{version}/config", summary="The same as a version's metadata, in the words of Triton's model configuration")
    def configured(model: str, version: str | None = None) -> dict[str, Any]:
        return configuration(service, *find(service, model, version))

    def _check_ready() -> None:
        # The protocol answers "not ready" with a 4xx.
        if reasons := service.not_ready():
            raise RequestRefused(400, "not_ready", "; ".join(reasons))

    return router
