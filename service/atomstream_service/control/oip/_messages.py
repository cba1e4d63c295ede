"""The protocol's messages, as far as this service speaks them: client to server, then server to client."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr

Parameters = dict[str, StrictBool | StrictInt | StrictFloat | StrictStr]
Side = Annotated[int, Field(strict=True, ge=1, le=1 << 32)]


class _Received(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class InputTensor(_Received):
    """One input. Its data stand in `data`, or follow the JSON where `parameters` has `binary_data_size`."""

    name: str
    shape: list[Side] = Field(min_length=2, max_length=4, description="[H, W], [N, H, W] or [N, 1, H, W]")
    datatype: str
    parameters: Parameters = Field(default_factory=dict)
    data: list[Any] | None = Field(None, description="row after row, flat or nested")


class RequestedOutput(_Received):
    """One output that shall be sent; `binary_data` in `parameters` says how."""

    name: str
    parameters: Parameters = Field(default_factory=dict)


class InferenceRequest(_Received):
    """Frames to be analysed."""

    id: str | None = Field(None, max_length=200)
    parameters: Parameters = Field(default_factory=dict, description="pixel_size_nm and binary_data_output")
    inputs: list[InputTensor] = Field(min_length=1, max_length=1)
    outputs: list[RequestedOutput] = Field(default_factory=list, max_length=16, description="none = all")


class IndexRequest(_Received):
    """Which models to list."""

    ready: bool = Field(False, description="only those that answer")


class RepositoryRequest(_Received):
    """A load or unload, which takes nothing but what stands in its address."""

    parameters: dict[str, Any] = Field(default_factory=dict)


class ServerLive(BaseModel):
    live: Literal[True] = True


class ServerReady(BaseModel):
    ready: Literal[True] = True


class ModelReady(BaseModel):
    name: str
    ready: Literal[True] = True


class ServerMetadata(BaseModel):
    name: str
    version: str
    extensions: list[str]


class TensorMetadata(BaseModel):
    """A tensor; -1 stands for any length."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(BaseModel):
    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class IndexEntry(BaseModel):
    """A registered ensemble; `reason` says why it does not answer."""

    name: str
    version: str
    state: Literal["READY", "UNAVAILABLE"]
    reason: str


class OutputTensor(BaseModel):
    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, int] | None = None
    data: list[float | None] | None = None


class InferenceResponse(BaseModel):
    """What the frames' maps and atoms are, and in `parameters` how they came about."""

    model_name: str
    model_version: str
    id: str | None = None
    parameters: dict[str, int | str]
    outputs: list[OutputTensor]


class Refused(BaseModel):
    """Every error under /v2."""

    error: str
