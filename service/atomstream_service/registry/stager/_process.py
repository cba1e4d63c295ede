"""Running a stager, and telling what became of it."""

from __future__ import annotations

import errno
import json
import logging
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from ...logs import Said, read_said, relay
from ._report import AcceptanceReport, Check, CheckName
from ._spec import NO_ROOM, StagerLimits, StagerSpec

log = logging.getLogger(__name__)

_GRACE_S = 5.0
"""Seconds that a stager has to end itself at its time limit, before it is killed."""
_NEEDED = ("PATH", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LANG", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "WINDIR")
_NEEDED_PREFIXES = ("LC_", "CUDA_", "NVIDIA_")
_TOLD_LINES = 20


def stage(spec: StagerSpec, scratch: Path) -> AcceptanceReport:
    """Open a bundle in a process of its own; returns its report. A process that crashes, hangs or is killed by a limit has one, too.

    scratch : a folder for this one run; the process works and keeps its temporary files there

    Raises
    ------
    OSError
        ENOSPC where the disk is full.
    """
    file = scratch / "spec.json"
    begun = time.monotonic()
    with (scratch / "stager.log").open("wb") as said:
        file.write_text(spec.model_dump_json(), encoding="utf-8")
        process = subprocess.Popen(
            # -P: the process works in a folder whose contents come from a stranger, and must not import from there.
            [sys.executable, "-P", "-m", "atomstream_service.registry.stager", str(file)],
            stdin=subprocess.PIPE,
            stdout=said,
            stderr=said,
            cwd=scratch,
            env=_environment(scratch),
            start_new_session=True,
            creationflags=getattr(subprocess, "BELOW_NORMAL_PRIORITY_CLASS", 0),
        )
        late = False
        try:
            process.wait(spec.limits.wall_s + _GRACE_S)
        except subprocess.TimeoutExpired:
            late = True
        finally:
            process.kill()
            process.wait()
            if process.stdin is not None:
                process.stdin.close()
    if process.returncode == NO_ROOM:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(scratch))
    told = read_said(_last_lines(scratch / "stager.log"))
    relay(log, "stager", told)
    report = replace(_read(spec.report), seconds=time.monotonic() - begun)
    if process.returncode == 0 and not late and report.under_way is None and report.checks:
        return report
    return _cut_short(report, _end(process.returncode, late, spec.limits, told), process.returncode, spec.limits)


def _environment(scratch: Path) -> dict[str, str]:
    """Only what Python and the runtime need: keys and tokens in the service's environment stay there."""
    kept = {name: value for name, value in os.environ.items() if name in _NEEDED or name.startswith(_NEEDED_PREFIXES)}
    own = dict.fromkeys(("HOME", "USERPROFILE", "TMPDIR", "TEMP", "TMP"), str(scratch))
    return {**kept, **own, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def _read(file: Path) -> AcceptanceReport:
    """The report as far as it got; an empty one where there is none."""
    try:
        return AcceptanceReport.parse(json.loads(file.read_bytes()))
    except FileNotFoundError:
        return AcceptanceReport()
    except ValueError as error:
        log.error("the stager's report can't be read: %s", error)
        return AcceptanceReport()


def _cut_short(report: AcceptanceReport, end: str, code: int, limits: StagerLimits) -> AcceptanceReport:
    name = report.under_way or CheckName.ARCHIVE
    numbers: dict[str, float] = {"exit_code": code, "wall_s_allowed": limits.wall_s, "cpu_s_allowed": limits.cpu_s}
    if limits.memory_bytes is not None:
        numbers["memory_bytes_allowed"] = limits.memory_bytes
    done = sum(check.seconds for check in report.checks)
    check = Check(name, False, f"the process that opened the bundle {end}", numbers, max(0.0, report.seconds - done))
    return replace(report, checks=(*report.checks, check), under_way=None)


def _end(code: int, late: bool, limits: StagerLimits, told: list[Said]) -> str:
    if late or code == -getattr(signal, "SIGALRM", 0):
        return f"took more than the {limits.wall_s:g} s allowed"
    if code == -getattr(signal, "SIGXCPU", 0):
        return f"took more than the {limits.cpu_s} s of processor time allowed"
    if code == -getattr(signal, "SIGKILL", 0):
        return "was killed by the system, as it does when memory runs out (SIGKILL)"
    if code < 0:
        return f"crashed ({signal.Signals(-code).name})"
    # What it said last may go on with a traceback, which is in the log.
    return f"ended with code {code}: {told[-1].message.partition(chr(10))[0] if told else 'it said nothing'}"


def _last_lines(file: Path) -> str:
    """The end of what a process has said."""
    with file.open("rb") as said:
        said.seek(max(0, file.stat().st_size - 10_000))
        return "\n".join(said.read().decode(errors="replace").strip().splitlines()[-_TOLD_LINES:])
