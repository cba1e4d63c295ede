"""The client's own distribution, installed alone, under the oldest and newest Python it promises to run on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from atomstream_service.demo import Launched

VERSIONS = ("3.8", "3.13")


def _interpreter(version: str) -> str | None:
    """A real interpreter of that version, on the path or kept by pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT", str(Path.home() / ".pyenv"))) / "versions"
    kept = sorted(pyenv.glob(f"{version}.*/bin/python")) if pyenv.is_dir() else []
    for candidate in (*map(str, kept), shutil.which(f"python{version}")):
        if candidate and _says(candidate, version):
            return candidate
    return None


def _says(interpreter: str, version: str) -> bool:
    run = subprocess.run([interpreter, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], capture_output=True, text=True, check=False)
    return run.stdout.strip() == version


@pytest.mark.parametrize("version", VERSIONS)
def test_the_client_alone_publishes_and_receives(version: str, service: Launched, tmp_path: Path) -> None:
    interpreter = _interpreter(version)
    if interpreter is None:
        pytest.skip(f"no Python {version} on this machine")
    source = tmp_path / "clients"
    shutil.copytree(ROOT / "clients", source, ignore=shutil.ignore_patterns("__pycache__"))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    python = tmp_path / "venv" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    for command in (
        [interpreter, "-m", "venv", str(tmp_path / "venv")],
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(source)],
    ):
        subprocess.run(command, env=environment, check=True, timeout=280)
    script = ROOT / "tests" / "client" / "old_python.py"
    run = subprocess.run(
        [str(python), "-W", "error", str(script), service.frames, service.results, service.url],
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert run.returncode == 0, run.stderr
    assert f"python {version}" in run.stdout
