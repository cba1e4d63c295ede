"""What a recorder process is told, and what it tells."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ..logs import LogFormat, LogLevel
from ._series import Compression

CANNOT_RECORD = 4
"""Exit code of a recorder whose file could not be begun or not be written any more."""

RecorderState = Literal["recording", "finished", "failed"]


class Limits(BaseModel):
    """When a recording ends by itself; None for never.

    max_bytes : of the file
    least_free_bytes : room that must be left on the disk; with less, the recording fails rather than fill it
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_frames: int | None = Field(None, ge=1)
    max_bytes: int | None = Field(None, ge=1)
    max_seconds: float | None = Field(None, gt=0)
    least_free_bytes: int = Field(64 << 20, ge=0)


class RecorderSpec(BaseModel):
    """A recorder's start.

    path : the file, not there yet
    endpoint : where to listen, ipc:// or loopback tcp:// with port * for any
    commit_s : what is older than this is readable after a kill
    report_s : seconds between reports
    log_format, log_level : of what goes to the standard error
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Path
    endpoint: str
    title: str
    reason: str = ""
    actor: str = ""
    compression: Compression = "lzf"
    limits: Limits = Limits()
    commit_s: float = Field(0.5, gt=0, le=1)
    report_s: float = Field(0.5, gt=0)
    depth: int = Field(16, ge=1, description="frames that may wait on this side of the line")
    log_format: LogFormat = "text"
    log_level: LogLevel = "info"


class RecorderReport(BaseModel):
    """How a recorder is doing: one line of JSON on its standard output.

    endpoint : where it listens
    frames, bytes : written, bytes being the size of the file
    dropped : frames that were to be recorded and did not come, as far as the sender said
    refused : messages that could not be read
    because : why it ended: `stopped`, `max_frames`, `max_bytes` or `max_seconds`
    error : why it failed
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    state: RecorderState
    endpoint: str = ""
    frames: int = 0
    bytes: int = 0
    dropped: int = 0
    refused: int = 0
    because: str = ""
    error: str = ""
