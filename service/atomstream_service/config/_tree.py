"""Every setting with its range, unit and meaning."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, HttpUrl, field_validator, model_validator

from ..drift_settings import DriftSettings, QuarantineSettings

Policy = Literal["latest", "queue", "block"]
"""latest = always the newest frame; queue = the newest `depth` frames; block = nothing is lost, the sender waits."""


Format = Literal["atomstream.frame.v1", "dectris-stream-v2", "stem.thinned.v1", "array-1.0", "odin-live-view", "karabo-bridge"]
"""What is spoken at a frame socket. One a socket: a format that is guessed from messages is guessed wrong one day."""


class _Confined(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def is_loopback(host: str) -> bool:
    """Whether an address, or `localhost`, can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _endpoint(value: str) -> str:
    parts = urlsplit(value)
    try:
        port = parts.port
    except ValueError:
        port = None
    if parts.scheme != "tcp" or not parts.hostname or port is None:
        raise ValueError(f"{value!r} is not tcp://HOST:PORT")
    return value


Endpoint = Annotated[str, AfterValidator(_endpoint)]


Side = Annotated[int, Field(ge=8, le=1 << 16)]
"""Pixels along one side of a frame."""


class FramesEndpoint(_Confined):
    """One socket that frames come in through."""

    endpoint: Endpoint = Field("tcp://127.0.0.1:5555", description="tcp://HOST:PORT")
    socket: Literal["sub", "pull", "req"] = Field(
        "sub", description="sub hears a PUB socket, pull shares a PUSH socket, req asks a REP socket for each frame (karabo-bridge only)"
    )
    attach: Literal["bind", "connect"] = Field("bind", description="bind = instruments connect here; connect = the service goes to the instrument")
    policy: Policy = Field("latest", description="latest = the newest frame only; queue = the newest `depth` frames; block = nothing lost (not for sub)")
    depth: int = Field(16, ge=1, le=4096, description="frames held by the policies queue and block")
    format: Format = Field("atomstream.frame.v1", description="the stream's format; all but the first are other makers'")
    source: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="the instrument's name in results, for other makers' formats; null = what the messages or the format say",
    )
    pixel_size_nm: float | None = Field(
        None, gt=0, description="pixel size of frames whose messages name none, for other makers' formats, which can't name a scan's; null = unknown"
    )
    shape_order: Literal["yx", "xy"] = Field(
        "yx", description="what comes first in the shapes of array-1.0 and odin-live-view: yx = the number of rows; xy = the number of columns"
    )
    thinned: bool | None = Field(
        None,
        description="whether an instrument with another maker's format leaves frames out on purpose, so that jumps in its numbers are no losses; "
        "null = as the format is: stem.thinned.v1 does",
    )
    curve: bool | None = Field(None, description="whether senders need a key (ZeroMQ CURVE); null = as `curve` of the service says")

    @model_validator(mode="after")
    def _possible(self) -> FramesEndpoint:
        if self.policy == "block" and self.socket == "sub":
            raise ValueError("policy 'block' needs socket 'pull': a SUB socket can't make its publisher wait")
        if self.socket == "req" and (self.format != "karabo-bridge" or self.attach != "connect" or self.curve):
            raise ValueError("socket 'req' is for format 'karabo-bridge', with attach 'connect' and without curve")
        return self

    @model_validator(mode="after")
    def _meant_for_this_format(self) -> FramesEndpoint:
        if self.format == "atomstream.frame.v1":
            given = [key for key in ("source", "pixel_size_nm", "thinned") if getattr(self, key) is not None]
            if given:
                raise ValueError(f"{', '.join(given)}: frames of format {self.format} say that themselves")
        if self.shape_order == "xy" and self.format not in ("array-1.0", "odin-live-view"):
            raise ValueError(f"shape_order 'xy': format {self.format} leaves no doubt about its shapes")
        return self

    @property
    def leaves_out(self) -> bool:
        """Whether jumps in the instrument's numbers are no losses."""
        return self.format == "stem.thinned.v1" if self.thinned is None else self.thinned


class TrackSettings(_Confined):
    """Atoms linked over frames."""

    enabled: bool = Field(False, description="link atoms over the frames of each source, so that the column id of results is a track's id")
    max_distance_nm: float | None = Field(
        None,
        gt=0,
        description="how far an atom may move between two answered frames, the drift of the whole specimen taken off; "
        "null, or frames without a pixel size: max_distance_share counts",
    )
    max_distance_share: float = Field(0.5, gt=0, le=2, description="the same as a share of the median distance between neighbours")
    memory_frames: int = Field(2, ge=0, le=1000, description="answered frames that an atom may be missing from and keep its id")


class Config(_Confined):
    """The settings of `atomstream serve`."""

    frames: tuple[FramesEndpoint, ...] = Field((FramesEndpoint(),), min_length=1, description="sockets that frames come in through")
    results: Endpoint = Field("tcp://127.0.0.1:5556", description="where results are published, tcp://HOST:PORT")
    http: str = Field("127.0.0.1:8000", description="where the control plane answers, HOST:PORT")
    http_names: tuple[str, ...] = Field((), description="further host names that the control plane is called by")
    access: Literal["loopback-open", "token"] = Field(
        "loopback-open", description="loopback-open = requests from this machine need no token; token = every request needs one"
    )
    tls_cert: Path | None = Field(None, description="certificate chain (PEM) to serve https with")
    tls_key: Path | None = Field(None, description="private key (PEM) of tls_cert")
    curve: bool = Field(False, description="whether frames and results need keys (ZeroMQ CURVE), see `atomstream keys curve`")
    bundle: str = Field("graphene", description="the ensemble to start with: the name of a shipped one, or a path")
    state: Path = Field(Path("atomstream-state"), description="folder for what outlives a restart: journal, member states")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto = CUDA where it really is, else the CPU; cuda = CUDA or refuse to start")
    threads: int | None = Field(None, ge=1, le=1024, description="members run at once on the CPU; null = one per processor")
    runtime: Literal["auto", "onnxruntime", "openvino"] = Field(
        "auto", description="what runs the members: auto = what is measured to be fastest here, of what is installed; openvino runs on the CPU alone"
    )
    precision: Literal["exact", "fast"] = Field(
        "exact", description="exact = float32; fast = half as many bits, where the golden frames stay within stated tolerances"
    )
    tensorrt: bool = Field(
        False,
        description="on NVIDIA GPUs, compile the members with TensorRT beside the stream; frames are answered with CUDA until that is done. "
        "It takes minutes for each new ensemble and frame size",
    )
    tile_pixels: int = Field(
        5 << 20, ge=1 << 16, description="larger frames are run in parts that overlap by what the members see around a pixel; the answers are the same"
    )
    deadline_ms: float | None = Field(
        None,
        gt=0,
        description="time a frame may take from when it is taken up until its atoms are sent; members that have no time are left out. null = all run",
    )
    deadline_order: Literal["rank", "rotate"] = Field(
        "rank", description="who has time: rank = the best by the card's validation_f1, always the same; rotate = all take their turns"
    )
    channel: str | None = Field(None, description="name of the channel to analyse; null = each frame's first")
    partial_frames: bool = Field(False, description="analyse frames of scans that still run, too")
    strip_rows: int | None = Field(
        None,
        ge=8,
        le=512,
        multiple_of=8,
        description="frames of scans that still run go to the members in strips of so many rows, so that the complete one is answered sooner. "
        "null = only complete frames are looked at",
    )
    maps: bool = Field(True, description="publish mean and std maps")
    max_pixels: int = Field(1 << 26, ge=64, le=1 << 32, description="largest frame accepted, in pixels")
    max_upload_bytes: int = Field(1 << 30, ge=1 << 10, description="largest bundle that may be uploaded, in bytes")
    warm_shapes: tuple[tuple[Side, Side], ...] = Field(((512, 512),), description="frame shapes (rows, columns) to warm the ensemble up with")
    tracks: TrackSettings = Field(TrackSettings(), description="linking of atoms over frames")
    min_active: int = Field(1, ge=1, description="members that must stay enabled")
    drift: DriftSettings = Field(default_factory=DriftSettings, description="how drift is watched for")
    quarantine: QuarantineSettings = Field(default_factory=QuarantineSettings, description="what is done about members that drift, until set over REST")
    watch_folder: Path | None = Field(None, description="bundles dropped here are registered, never activated; null = none")
    refinement_cores: int = Field(1, ge=1, le=1024, description="processors that a refinement may use")
    refinement_priority: Literal["idle", "low", "normal"] = Field(
        "low", description="low = a refinement gets a small share of busy processors; idle = nothing until they are free; normal = like everything else"
    )
    ring_frames: int = Field(500, ge=1, le=1_000_000, description="last frames kept in memory, to be recorded or learned from afterwards")
    ring_bytes: int = Field(1 << 30, ge=1 << 20, description="memory for them, in bytes")
    shadow_every: int = Field(10, ge=1, description="shadow members run on every Nth frame")
    trial_frames: int = Field(
        20, ge=0, le=100_000, description="frames that a newly activated ensemble has to answer before the one before it is let go; 0 = none"
    )
    results_backlog: int = Field(64, ge=1, description="messages kept for a slow reader of results before it loses some")
    log_format: Literal["text", "json"] = Field("text", description="text = lines for people; json = one JSON object a line")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="the least important lines that are written")
    otel_endpoint: HttpUrl | None = Field(None, description="http://HOST:PORT of an OpenTelemetry collector that traces go to, by OTLP over HTTP; null = none")
    otel_share: float = Field(1.0, ge=0, le=1, description="share of frames and requests that are traced")
    start_s: float = Field(300.0, gt=0, description="seconds that the engine may take to load and warm its ensemble")
    stall_s: float = Field(120.0, gt=0, description="seconds on one frame after which the engine is restarted")
    watchdog_s: float = Field(20.0, gt=0, description="seconds without an answer after which the engine is restarted")

    @field_validator("http")
    @classmethod
    def _http_address(cls, value: str) -> str:
        _, separator, port = value.rpartition(":")
        if not separator or not port.isdigit() or int(port) > 65535:
            raise ValueError(f"{value!r} is not HOST:PORT")
        return value

    @model_validator(mode="after")
    def _whole_certificate(self) -> Config:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key are given together")
        return self

    @model_validator(mode="after")
    def _keys_are_possible(self) -> Config:
        for one in self.frames:
            if one.socket == "req" and self.curve_for(one):
                raise ValueError(f"frames from {one.endpoint}: socket 'req' can't ask for keys; say curve = false there if that is meant")
        return self

    @property
    def scheme(self) -> Literal["http", "https"]:
        return "http" if self.tls_cert is None else "https"

    @property
    def http_host(self) -> str:
        return self.http.rpartition(":")[0].strip("[]")

    @property
    def http_port(self) -> int:
        return int(self.http.rpartition(":")[2])

    def curve_for(self, endpoint: FramesEndpoint) -> bool:
        """Whether senders at this socket need a key."""
        return self.curve if endpoint.curve is None else endpoint.curve

    @property
    def needs_curve(self) -> bool:
        """Whether any ZeroMQ socket needs keys."""
        return self.curve or any(map(self.curve_for, self.frames))
