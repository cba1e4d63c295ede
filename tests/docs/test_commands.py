"""What README and the first page of the documentation tell people to type, typed."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from streaming import simulated_images

from atomstream_client import ControlClient

PAGES = (ROOT / "README.md", ROOT / "docs" / "quickstart.md")
_INSTALLED_HERE = Path(sys.executable).parent == ROOT / ".venv" / "bin"
_PORTS = (5555, 5556, 8000)


@dataclass(frozen=True)
class Block:
    """One block of commands or of Python, and where it stands."""

    page: str
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}: {self.text.strip().splitlines()[0][:50]}"


def _blocks() -> Iterator[Block]:
    for page in PAGES:
        for language, text in re.findall(r"```(sh|python)\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL):
            yield Block(page.name, language, text)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the commands speak of."""
    folder = tmp_path_factory.mktemp("here")
    images = simulated_images(3)
    np.savez(folder / "movie.npz", frames=np.stack(images))
    np.save(folder / "frame.npy", images[0])
    return folder


@pytest.fixture(scope="module")
def service(here: Path) -> Iterator[ControlClient]:
    """What `atomstream serve` starts, at the addresses that it has by default."""
    for port in _PORTS:
        with socket.socket() as probe, contextlib.closing(probe):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                pytest.skip(f"something listens at port {port} already")
    process = subprocess.Popen([Path(sys.executable).parent / "atomstream", "serve"], cwd=here, env=_environment())
    control = ControlClient()
    try:
        assert any(control.wait_ready(1.0) for _ in range(120) if process.poll() is None)
        yield control
    finally:
        process.terminate()
        process.wait(30)


def _environment() -> dict[str, str]:
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def _typed(line: str) -> str:
    """A line as it is run: the environment of the tests is that of the commands."""
    return line.partition("  #")[0].strip().replace(".venv/bin/", "")


@pytest.mark.parametrize("block", list(_blocks()), ids=str)
def test_what_the_pages_say_runs(block: Block, here: Path, service: ControlClient) -> None:
    if block.language == "python":
        _run([sys.executable, "-c", block.text], here)
        return
    for line in map(_typed, block.text.strip().splitlines()):
        if line == "atomstream serve":
            assert service.status()["engine"]["state"] == "ready"
            continue
        # The suite does not run within itself; where the commands are installed elsewhere, `make` would install them once more.
        target = line.removeprefix("make ")
        is_make = target != line
        dry = is_make and (target in ("test", "lint") or not _INSTALLED_HERE)
        typed = f"make -n {target}" if dry else line
        said = _run(["bash", "-c", typed], ROOT if is_make else here)
        if line.startswith("curl"):
            assert '"status":4' not in said, said


def _run(command: list[str], folder: Path) -> str:
    """What a command prints; it has to succeed."""
    done = subprocess.run(command, cwd=folder, env=_environment(), stdin=subprocess.DEVNULL, text=True, capture_output=True, timeout=200, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout
