"""Environments of other Pythons, with the client's own distribution or with what it needs."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT

CLIENT = "atomstream-client"
OLDEST = ("3.7", (CLIENT, "numpy==1.17.5"))
NEWEST = ("3.13", (CLIENT,))


def environment_of(version: str, packages: tuple[str, ...], factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment of this Python, made once for all tests of a run; skips where this machine has no such Python.

    packages : names for pip; `CLIENT` for our own distribution with what it needs
    """
    python_there = interpreter(version)
    if python_there is None:
        pytest.skip(f"no Python {version} on this machine")
    base = factory.getbasetemp()
    root = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "-".join(["python", version, *packages]).replace(" ", "_")
    python = root / "venv" / "bin" / "python"
    root.mkdir(exist_ok=True)
    with (root / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (root / "made").exists():
            shutil.copytree(ROOT / "clients", root / "clients", ignore=shutil.ignore_patterns("__pycache__"))
            wanted = [str(root / "clients") if one == CLIENT else one for one in packages]
            # A pip of its own would take longer to get into the environment than all the rest.
            _run(python_there, "-m", "venv", "--without-pip", str(root / "venv"))
            _run(python_there, "-m", "pip", "install", "--quiet", "--no-compile", "--disable-pip-version-check", "--target", str(site_of(python)), *wanted)
            (root / "made").touch()
    return python


def site_of(python: Path) -> Path:
    """Where an environment keeps its packages."""
    (site,) = (python.parents[1] / "lib").glob("python*/site-packages")
    return site


def plain_environment(**more: str) -> dict[str, str]:
    """This process's environment variables without those that lead Python to our own environment."""
    return {**{name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}, **more}


def _run(*command: str) -> None:
    subprocess.run(command, env=plain_environment(), check=True, timeout=280)


def interpreter(version: str) -> str | None:
    """A real interpreter of that version, on the path or kept by pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT", str(Path.home() / ".pyenv"))) / "versions"
    kept = sorted(pyenv.glob(f"{version}.*/bin/python")) if pyenv.is_dir() else []
    for candidate in (*map(str, kept), shutil.which(f"python{version}")):
        if candidate and _says(candidate, version):
            return candidate
    return None


def _says(python: str, version: str) -> bool:
    run = subprocess.run([python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], capture_output=True, text=True, check=False)
    return run.stdout.strip() == version
