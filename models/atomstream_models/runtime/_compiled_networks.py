"""Networks that take minutes to make ready for a device, in a folder."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ._ways import LoadError

_FORMAT = 1
"""Goes up where the same recipe would give other files."""
_MOST_BYTES = 8 << 30
_LOOK_S = 0.1
_UNFINISHED = ".unfinished-"
_LEFT_S = 24 * 3600.0
_TOLD_CHARS = 400


class Abandoned(Exception):
    """Nobody wants it any more."""


@dataclass(frozen=True)
class Recipe:
    """How a network is made into what a device's sessions are opened from.

    compile : `module:function`, called in a process of its own with the network (ONNX, for one frame size), the file to write, and `options`
    options : what it is told
    depends_on : what else the result is good for alone, such as versions and the kind of device
    environment : variables of that process
    """

    compile: str
    options: Mapping[str, str]
    depends_on: Mapping[str, str]
    environment: Mapping[str, str] = field(default_factory=dict)


class CompiledNetworks:
    """Members' networks, each compiled once for each frame size; they are found again after a restart, and by other ensembles that have the same members.

    Another process compiles: it may take minutes, hold on to locks, use up memory or crash without this one, and it can be ended at any moment.

    folder : where they are kept; those that were used longest ago make room
    """

    def __init__(self, folder: Path, recipe: Recipe) -> None:
        self._folder = folder
        self._recipe = recipe

    def place(self, file: Path, shape: tuple[int, int]) -> Path:
        """Where a member's network for frames of a shape is kept, by what it is made of."""
        made_of = [_FORMAT, hashlib.sha256(file.read_bytes()).hexdigest(), list(shape), asdict(self._recipe)]
        return self._folder / f"{hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()}.onnx"

    def compile(self, files: Iterable[Path], shape: tuple[int, int], stop: threading.Event) -> None:
        """Have members' networks, compiled now or before.

        Raises
        ------
        Abandoned
            where `stop` is set before that; what is compiled by then is kept.
        LoadError
            with the last that the process said.
        """
        places: dict[Path, Path] = {}
        for file in files:
            places.setdefault(self.place(file, shape), file)
        self._folder.mkdir(parents=True, exist_ok=True)
        missing = {place: file for place, file in places.items() if not place.exists()}
        if missing:
            with tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=self._folder) as scratch:
                self._run(missing, shape, Path(scratch), stop)
        for place in places:
            os.utime(place)
        self._make_room()

    def discard(self, file: Path, shape: tuple[int, int]) -> None:
        """Forget what turned out to be of no use."""
        self.place(file, shape).unlink(missing_ok=True)

    def _run(self, networks: Mapping[Path, Path], shape: tuple[int, int], scratch: Path, stop: threading.Event) -> None:
        work = {
            "compile": self._recipe.compile,
            "options": dict(self._recipe.options),
            "shape": shape,
            "networks": [{"file": str(file.resolve()), "place": str(place.resolve())} for place, file in networks.items()],
        }
        said = scratch / "said"
        with said.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "atomstream_models.runtime._compile"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=scratch,
                env={**os.environ, **self._recipe.environment},
            )
            assert process.stdin is not None
            try:
                process.stdin.write(json.dumps(work).encode() + b"\n")
                process.stdin.flush()
                while process.poll() is None and not stop.wait(_LOOK_S):
                    pass
            except BrokenPipeError:
                process.wait()
            finally:
                process.kill()
                process.wait()
                process.stdin.close()
        if stop.is_set():
            raise Abandoned
        if process.returncode or not all(place.exists() for place in networks):
            told = said.read_text(errors="replace").strip().splitlines()
            why = told[-1][:_TOLD_CHARS] if told else f"the process that did it ended with code {process.returncode} and said nothing"
            raise LoadError(f"the members can't be compiled for frames of {shape[0]}x{shape[1]} pixels: {why}")

    def _make_room(self) -> None:
        left = _MOST_BYTES
        for one in sorted(self._folder.glob("*.onnx"), key=lambda one: one.stat().st_mtime, reverse=True):
            left -= one.stat().st_size
            if left < 0:
                one.unlink(missing_ok=True)
        for abandoned in self._folder.glob(f"{_UNFINISHED}*"):
            if time.time() - abandoned.stat().st_mtime > _LEFT_S:
                shutil.rmtree(abandoned, ignore_errors=True)
