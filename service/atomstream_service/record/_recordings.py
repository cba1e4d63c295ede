"""The recordings of a service: a folder, and the recorders that write into it."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO, Any

from pydantic import BaseModel, ConfigDict, Field

from atomstream_models.recording import RecordedFrame, UnreadableRecording, open_recording

from ..logs import LogFormat, LogLevel
from ._errors import RecordingFailed, RecordingRefused
from ._series import Compression
from ._spec import Limits, RecorderReport, RecorderSpec
from ._writer import About, write_selection

SUFFIX = ".h5"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_START_S = 30.0
_END_S = 30.0


class RecordingState(StrEnum):
    """How a recording stands."""

    RECORDING = "recording"
    FINISHED = "finished"
    FAILED = "failed"
    """It could not be written any more; what was committed is readable."""
    INTERRUPTED = "interrupted"
    """Its recorder was killed; all but about the last second is readable."""
    UNREADABLE = "unreadable"
    """Something in the folder that is no recording."""


class RecordingRequest(BaseModel):
    """What is to be recorded, and why.

    maps : mean and std maps, too, which take many times the room
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    reason: str = ""
    actor: str = ""
    maps: bool = False
    compression: Compression = "lzf"
    limits: Limits = Field(default_factory=Limits)


@dataclass(frozen=True)
class RecordingInfo:
    """A recording in a list.

    frames, bytes, dropped : as of now
    started : ISO 8601
    ended_because : why it ended; empty where it hasn't, or nobody could say
    error : what went wrong
    """

    name: str
    state: RecordingState
    path: Path
    frames: int = 0
    bytes: int = 0
    dropped: int = 0
    started: str = ""
    reason: str = ""
    actor: str = ""
    ended_because: str = ""
    error: str = ""


class RecordingHandle:
    """A recorder at work.

    endpoint : where the engine's `RecorderFeed` is to connect to
    report : what it said last
    """

    def __init__(self, name: str, request: RecordingRequest, path: Path, process: subprocess.Popen[str]) -> None:
        self.name = name
        self.request = request
        self.path = path
        self.report = RecorderReport(state="recording")
        self._process = process
        self._heard = threading.Event()
        assert process.stdout is not None
        self._reader = threading.Thread(target=self._read, args=(process.stdout,), name=f"recording-{name}", daemon=True)
        self._reader.start()

    @property
    def endpoint(self) -> str:
        return self.report.endpoint

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def wait_ready(self, timeout_s: float) -> None:
        """Wait for the first report.

        Raises
        ------
        RecordingFailed
            where the recorder could not begin.
        """
        if not self._heard.wait(timeout_s) or self.report.state == "failed" or not self.report.endpoint:
            self._process.kill()
            self._process.wait()
            self._reader.join(_END_S)
            raise RecordingFailed(self.report.error or f"the recorder of {self.name} did not begin within {timeout_s:g} s")

    def stop(self, timeout_s: float = _END_S) -> None:
        """End the recording and wait until its file is whole; a recorder that takes longer is killed."""
        self._close_input()
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(timeout_s)

    def _close_input(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()

    def _read(self, lines: IO[str]) -> None:
        with lines:
            for line in lines:
                self.report = RecorderReport.model_validate_json(line)
                self._heard.set()
        self._process.wait()
        self._close_input()
        self._heard.set()


class Recordings:
    """Named recordings in a folder; safe to use from several threads. Files that an earlier service left unfinished are listed as interrupted.

    log_format, log_level : of what recorders write to the standard error

    Raises
    ------
    RecordingRefused
        from every method that is given a name: one that isn't letters, digits and . _ -, that is taken, or that nobody has.
    """

    def __init__(self, folder: Path, *, log_format: LogFormat = "text", log_level: LogLevel = "info") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._log_format = log_format
        self._log_level = log_level
        self._sockets = tempfile.TemporaryDirectory(prefix="atomstream-")
        self._started = 0
        self._lock = threading.Lock()
        self._handles: dict[str, RecordingHandle] = {}
        self._seen: dict[Path, tuple[tuple[int, int], RecordingInfo]] = {}

    def start(self, name: str, request: RecordingRequest) -> RecordingHandle:
        """Start a recorder; hand its endpoint to the engine.

        Raises
        ------
        RecordingFailed
            where it could not begin.
        """
        path = self._free(name)
        with self._lock:
            if name in self._handles and self._handles[name].running:
                raise RecordingRefused("exists", f"{name} is being recorded already")
            self._started += 1
            spec = RecorderSpec(
                path=path,
                endpoint=self._endpoint(),
                title=name,
                reason=request.reason,
                actor=request.actor,
                compression=request.compression,
                limits=request.limits,
                log_format=self._log_format,
                log_level=self._log_level,
            )
            file = Path(self._sockets.name) / f"spec-{self._started}.json"
            file.write_text(spec.model_dump_json(), encoding="utf-8")
            command = [sys.executable, "-m", "atomstream_service.record", str(file)]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            handle = self._handles[name] = RecordingHandle(name, request, path, process)
        try:
            handle.wait_ready(_START_S)
        except RecordingFailed:
            with self._lock:
                del self._handles[name]
            raise
        return handle

    def running(self) -> list[RecordingHandle]:
        """Recorders at work."""
        with self._lock:
            return [one for one in self._handles.values() if one.running]

    def stop(self, name: str, timeout_s: float = _END_S) -> RecordingInfo:
        """End a recording; what the engine has sent is written first, so let it close its feed before. One that has ended is left as it is."""
        self.path(name)
        with self._lock:
            handle = self._handles.get(name)
        if handle is not None:
            handle.stop(timeout_s)
        return self.info(name)

    def list(self) -> list[RecordingInfo]:
        """Every recording in the folder, by name; what is deleted meanwhile, or has a name that no recording can have, is left out."""
        found = []
        for path in sorted(self._folder.glob(f"*{SUFFIX}")):
            with suppress(RecordingRefused):
                found.append(self.info(path.name.removesuffix(SUFFIX)))
        return found

    def info(self, name: str) -> RecordingInfo:
        """How a recording stands."""
        try:
            return self._info(name, self.path(name))
        except FileNotFoundError as error:
            raise RecordingRefused("unknown", f"recording {name} has just been deleted") from error

    def _info(self, name: str, path: Path) -> RecordingInfo:
        with self._lock:
            handle = self._handles.get(name)
        if handle is None:
            return self._of_file(name, path)
        report, request = handle.report, handle.request
        if handle.running:
            begun = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(path.stat().st_ctime)) if report.frames == 0 else self._of_file(name, path).started
            state = RecordingState.RECORDING
            return RecordingInfo(name, state, path, report.frames, report.bytes, report.dropped, begun, request.reason, request.actor)
        found = self._of_file(name, path)
        if report.state == "failed":
            return RecordingInfo(**{**vars(found), "state": RecordingState.FAILED, "error": report.error})
        return found

    def delete(self, name: str) -> None:
        """Delete a recording that isn't being written."""
        path = self.path(name)
        with self._lock:
            if name in self._handles and self._handles[name].running:
                raise RecordingRefused("busy", f"{name} is being recorded: stop it first")
            self._handles.pop(name, None)
            self._seen.pop(path, None)
        path.unlink(missing_ok=True)

    def keep(self, name: str, items: Sequence[RecordedFrame], request: RecordingRequest, journal: Sequence[Mapping[str, Any]] = ()) -> RecordingInfo:
        """Write frames that are in memory as a finished recording, such as a selection from the ring.

        Raises
        ------
        RecordingFailed
            where the system can't write.
        """
        path = self._free(name)
        about = About(name, request.reason, request.actor)
        least = request.limits.least_free_bytes
        write_selection(path, items, about, journal=journal, compression=request.compression, least_free_bytes=least)
        return self.info(name)

    def path(self, name: str) -> Path:
        """File of a recording that is there."""
        path = self._path(name)
        if not path.is_file():
            raise RecordingRefused("unknown", f"there is no recording {name}")
        return path

    def close(self) -> None:
        """End all recordings, then clean up."""
        for handle in self.running():
            handle.stop()
        self._sockets.cleanup()

    def _endpoint(self) -> str:
        # Windows has no ipc.
        return "tcp://127.0.0.1:*" if sys.platform == "win32" else f"ipc://{self._sockets.name}/recorder-{self._started}"

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise RecordingRefused("bad_name", f"{name!r} can't name a recording: letters, digits and . _ - only, 100 at most, the first a letter or digit")
        return self._folder / f"{name}{SUFFIX}"

    def _free(self, name: str) -> Path:
        path = self._path(name)
        if path.exists():
            raise RecordingRefused("exists", f"there is a recording {name} already: recordings are never overwritten")
        return path

    def _of_file(self, name: str, path: Path) -> RecordingInfo:
        """What a file says about itself; read once as long as it doesn't change."""
        stat = path.stat()
        stamp = (stat.st_mtime_ns, stat.st_size)
        with self._lock:
            if path in self._seen and self._seen[path][0] == stamp:
                return self._seen[path][1]
        try:
            with open_recording(path) as recording:
                state = RecordingState.FINISHED if recording.complete else RecordingState.INTERRUPTED
                found = RecordingInfo(
                    name,
                    state,
                    path,
                    len(recording),
                    stat.st_size,
                    recording.dropped,
                    recording.started,
                    recording.reason,
                    recording.actor,
                    recording.ended_because,
                )
        except UnreadableRecording as error:
            found = RecordingInfo(name, RecordingState.UNREADABLE, path, bytes=stat.st_size, error=str(error))
        with self._lock:
            self._seen[path] = (stamp, found)
        return found
