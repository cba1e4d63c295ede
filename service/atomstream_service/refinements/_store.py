"""A refinement's folder: what was asked, how it stands, what it told."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from ._events import Told
from ._job import RefinementJob, RefinementState
from ._request import RefinementRequest


class _Standing(BaseModel):
    """What changes, in `state.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    state: RefinementState
    started: float | None
    ended: float | None
    error: str | None
    bundle: Path | None
    pid: int | None


class _Asked(BaseModel):
    """What does not, in `request.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    request: RefinementRequest
    parent: Path
    actor: str
    created: float


class JobFolder:
    """One refinement on disk; every file is whole or not there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def run(self) -> Path:
        """Where the refinement trains; what is there lets it go on."""
        return self.folder / "run"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def told(self) -> Told:
        return Told(self.folder / "progress.jsonl")

    def create(self, job: RefinementJob) -> None:
        """Begin with a new job."""
        self.folder.mkdir(parents=True)
        asked = _Asked(request=job.request, parent=job.parent, actor=job.actor, created=job.created)
        _write(self.folder / "request.json", asked.model_dump(mode="json"))
        self.keep(job, None)

    def keep(self, job: RefinementJob, pid: int | None) -> None:
        """Write down how a job stands; `pid` is its process."""
        standing = _Standing(state=job.state, started=job.started, ended=job.ended, error=job.error, bundle=job.bundle, pid=pid)
        _write(self.folder / "state.json", standing.model_dump(mode="json"))

    def load(self) -> tuple[RefinementJob, int | None]:
        """The job as it was last written down, and its process.

        Raises
        ------
        ValueError
            where a file is damaged or not there.
        """
        try:
            asked = _Asked.model_validate_json((self.folder / "request.json").read_bytes())
            standing = _Standing.model_validate_json((self.folder / "state.json").read_bytes())
        except (OSError, ValidationError) as error:
            raise ValueError(f"{self.folder} holds no refinement that can be read: {error}") from error
        fields = {name: getattr(standing, name) for name in ("state", "started", "ended", "error", "bundle")}
        job = RefinementJob(self.folder.name, request=asked.request, parent=asked.parent, actor=asked.actor, created=asked.created, **fields)
        events = self.told.events
        return (job if not events else replace(job, share=events[-1].share, stage=events[-1].stage)), standing.pid

    def trim(self) -> None:
        """Throw away the training images, most of what a finished refinement takes on disk; they can be made again."""
        for data in self.run.glob("*/data"):
            shutil.rmtree(data, ignore_errors=True)

    def delete(self) -> None:
        """Throw all of it away, its bundle too."""
        # First out of sight, so that a kill halfway leaves nothing that looks like a refinement.
        gone = self.folder.with_name(f".{self.folder.name}.gone")
        os.replace(self.folder, gone)
        shutil.rmtree(gone, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Finish what `JobFolder.delete` could not."""
    for gone in folder.glob(".*.gone"):
        shutil.rmtree(gone, ignore_errors=True)


def _write(path: Path, tree: dict[str, Any]) -> None:
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(json.dumps(tree, indent=2) + "\n", encoding="utf-8")
        os.replace(part, path)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
