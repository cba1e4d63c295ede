"""The process of one refinement."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

from atomstream_models.priority import be_nice, into_background
from atomstream_models.regions import Region

from ._request import RefinementRequest

Priority = Literal["idle", "low", "normal"]
"""idle = runs only while nothing else wants the processors; low = takes a small share even then (niceness 19); normal = like everything else."""

_LOG_LINES = 20
"""Of the log's end, among which an error is looked for."""


_FLAGS: dict[Priority, list[str]] = {"idle": ["--background"], "low": ["--nice=19"], "normal": []}


def refine_command(request: RefinementRequest, parent: Path, run: Path, cores: int, priority: Priority) -> list[str]:
    """What is run: `atomstream refine`, telling every step, ending with this process."""
    how, frames = request.parameters, request.frames
    command = [sys.executable, "-m", "atomstream_models.training", "refine", str(frames.path.absolute()), f"--bundle={parent}", f"--out={run}"]
    command += [f"--recipe={how.recipe}", f"--iterations={how.iterations}", f"--cores={cores}", *_FLAGS[priority]]
    command += ["--progress=-", f"--end-with={os.getpid()}"]
    given = {
        "--pixel-size-nm": frames.pixel_size_nm,
        "--frames": None if frames.frames is None else ",".join(map(str, frames.frames)),
        "--members": None if request.members is None else ",".join(request.members),
        "--classes": None if how.classes is None else ",".join(how.classes),
        "--strategy": how.strategy,
        "--name": request.name,
        "--version": request.version,
    }
    command += [f"{flag}={value}" for flag, value in given.items() if value is not None]
    command += [f"--region={_written(region)}" for region in request.regions]
    command += [f"--leave-out={_written(region)}" for region in request.leave_out]
    settings = {"training.steps": how.steps, "training.members": how.count, **how.settings}
    # JSON's numbers, words, lists and truths are also TOML's.
    command += [f"--set={key}={json.dumps(value)}" for key, value in settings.items() if value is not None]
    return command


def hold_back(pid: int, priority: Priority) -> None:
    """Give a process, and what it starts from now on, a priority.

    Raises
    ------
    OSError
        where it is gone.
    """
    if priority == "idle":
        into_background(pid)
    elif priority == "low":
        be_nice(19, pid)


class RefinementProcess:
    """A refinement that runs in a process group of its own, behind everything else on the machine.

    The group stays in this session, because Linux may share processors evenly between sessions, whatever the priority inside one.

    command : from `refine_command`
    log : takes what it prints to standard error
    priority : see `Priority`
    gpu : whether it may use GPUs, which know no priorities

    Raises
    ------
    OSError
        where it can't be started.
    """

    def __init__(self, command: Sequence[str], log: Path, *, priority: Priority, gpu: bool) -> None:
        environment = {**os.environ, **({} if gpu else {"CUDA_VISIBLE_DEVICES": "-1"})}
        self._log = log
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                encoding="utf-8",
                errors="replace",
                process_group=0,
                env=environment,
            )
        # It will do so itself, but only after importing torch, which takes seconds of both processors.
        with suppress(OSError):
            hold_back(self._process.pid, priority)

    @property
    def pid(self) -> int:
        return self._process.pid

    def lines(self) -> Iterator[str]:
        """What it prints, line by line, until it ends."""
        assert self._process.stdout is not None
        with self._process.stdout as stdout:
            yield from stdout

    def wait(self) -> int:
        """Its exit code, once it and all that it started have ended."""
        code = self._process.wait()
        _kill_group(self._process.pid)
        return code

    def end(self, patience_s: float) -> None:
        """Tell it to end; kill it and all that it started where it has not after `patience_s`."""
        self._process.terminate()
        try:
            self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            _kill_group(self._process.pid)
            self._process.wait()

    def last_words(self) -> str:
        """The last line that it left in its log; empty where there is none."""
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


def kill_left_over(pid: int, run: Path) -> None:
    """Kill what an earlier service's refinement left running in the folder `run`, if process `pid` is still that refinement."""
    with suppress(OSError):
        if os.fsencode(f"--out={run}") in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
            _kill_group(pid)


def _kill_group(leader: int) -> None:
    # Its leader's number is no other process's while the group has members, or before the leader is waited for.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def _written(region: Region) -> str:
    y0, y1, x0, x1 = region
    return f"{y0}:{y1},{x0}:{x1}"
