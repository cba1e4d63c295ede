"""What a stager is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from atomstream_models.bundle import LIMITS, Limits

Device = Literal["auto", "cpu", "cuda"]
"""As `atomstream_models.runtime.Device`, which can't be named where the runtime must not be loaded."""

NO_ROOM = 4
"""Exit code of a stager whose disk is full."""


@dataclass(frozen=True)
class StagerLimits:
    """What opening a bundle may take at most.

    wall_s : seconds from start to end
    cpu_s : seconds of processor time, all threads together
    memory_bytes : data memory of the process; None = no limit. Where a system has no such limit, the report says so
    bundle : of the archive and the files in it
    """

    wall_s: float = 600.0
    cpu_s: int = 3600
    memory_bytes: int | None = 8 << 30
    bundle: Limits = field(default=LIMITS)


class StagerSpec(BaseModel):
    """One bundle to open.

    given : a zip, or a bundle's folder
    folder : an empty folder to unpack it into
    report : where the report goes; written anew at each step, so that it is there when the process is not
    registered : checksum of each bundle that is there already, by NAME/VERSION
    device, threads, warm_shapes : as the service will run it
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    given: Path
    folder: Path
    report: Path
    registered: dict[str, str] = {}
    device: Device = "auto"
    threads: int | None = None
    warm_shapes: tuple[tuple[int, int], ...] = ()
    limits: StagerLimits = StagerLimits()
