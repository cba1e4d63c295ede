"""Recordings of the stream, and the ring of the last frames."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Depends
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field

from ..record import Compression, RecordingInfo, RecordingRequest, RecordingState
from ..record import Limits as RecordingLimits
from ._refusal import RequestRefused
from ._requests import Actor, InControl
from ._service import Service


class RingSelection(BaseModel):
    """Frames of the ring that fulfil all that is given; `last` counts among those that fulfil the rest."""

    model_config = ConfigDict(extra="forbid")

    last: int | None = Field(None, ge=1, le=1_000_000, description="this many of the newest")
    t_from: float | None = Field(None, allow_inf_nan=False, description="received at or after, seconds since the epoch")
    t_to: float | None = Field(None, allow_inf_nan=False, description="received at or before")
    frames: list[tuple[str, int]] | None = Field(None, max_length=10_000, description="these [session, seq] alone")
    source: str | None = Field(None, max_length=200, description="of this instrument alone")


class NewRecording(BaseModel):
    """What is to be recorded."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(max_length=100, description="letters, digits and . _ -")
    ring: RingSelection | None = Field(None, description="begin with frames that were just seen")
    live: bool = Field(True, description="go on with the frames that come")
    maps: bool = Field(False, description="mean and std maps, too, which take many times the room")
    compression: Compression = Field("lzf", description="of frames and maps; programs that don't know lzf read gzip and none")
    limits: RecordingLimits = Field(default_factory=RecordingLimits, description="when it ends by itself")
    reason: str = Field("", max_length=2000)


def recording_routes(service: Service) -> APIRouter:
    """Routes under /v1/recordings, and /v1/ring."""
    router = APIRouter(tags=["recordings"])
    in_control = [Depends(InControl(service))]

    @router.get("/v1/ring", summary="The last frames, which can still be recorded or learned from")
    def ring() -> dict[str, Any]:
        held: dict[str, Any] = dict(service.call("ring", {}).body["ring"])
        return held

    @router.get("/v1/recordings", summary="All recordings")
    def recordings() -> dict[str, Any]:
        return {"recordings": [_as_json(one) for one in service.recording.list()]}

    @router.post("/v1/recordings", status_code=201, summary="Record the stream, or what the ring still holds, or both", dependencies=in_control)
    def start(wanted: NewRecording, actor: Actor) -> dict[str, Any]:
        if not wanted.live and wanted.ring is None:
            raise RequestRefused(422, "nothing_to_record", "neither frames of the ring nor those to come are to be recorded")
        request = RecordingRequest(reason=wanted.reason, actor=actor, maps=wanted.maps, compression=wanted.compression, limits=wanted.limits)
        selection = None if wanted.ring is None else wanted.ring.model_dump()
        begun = service.recording.start(wanted.name, request, selection, live=wanted.live, generation=service.wish.generation)
        return {**_as_json(begun), "generation": service.wish.generation}

    @router.get("/v1/recordings/{name}", summary="One recording")
    def recording(name: str) -> dict[str, Any]:
        return _as_json(service.recording.info(name))

    @router.get("/v1/recordings/{name}/file", summary="Its HDF5 file", response_class=FileResponse)
    def file(name: str) -> FileResponse:
        info = service.recording.info(name)
        if info.state is RecordingState.RECORDING:
            raise RequestRefused(409, "busy", f"{name} is being recorded: stop it first")
        return FileResponse(info.path, media_type="application/x-hdf5", filename=info.path.name)

    @router.post("/v1/recordings/{name}/stop", summary="End a recording", dependencies=in_control)
    def stop(name: str, actor: Actor, reason: str = "") -> dict[str, Any]:
        return {**_as_json(service.recording.stop(name, actor, reason, service.wish.generation)), "generation": service.wish.generation}

    @router.delete("/v1/recordings/{name}", summary="End a recording that runs, or delete one that has ended", dependencies=in_control)
    def delete(name: str, actor: Actor, reason: str = "") -> dict[str, Any]:
        generation = service.wish.generation
        info = service.recording.info(name)
        if info.state is RecordingState.RECORDING:
            return {**_as_json(service.recording.stop(name, actor, reason, generation)), "generation": generation}
        with service.refinement.unneeded(info.path, name):
            service.recording.delete(name, actor, reason, generation)
        return {"name": name, "state": "deleted", "generation": generation}

    return router


def _as_json(info: RecordingInfo) -> dict[str, Any]:
    return {**asdict(info), "path": str(info.path)}
