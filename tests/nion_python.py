"""Nion's own Python, as an instrument has it: Nion's packages and our plug-in beside them, in an environment of its own.

Nion Swift and its instrumentation kit are GPL-3.0, so that nothing of ours imports them but what runs in there.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from interpreters import interpreter, plain_environment

_VERSIONS = ("3.12", "3.13")
_PACKAGES = ("nionswift>=16.18,<17", "nionswift-instrumentation>=23.8,<24", "nionswift-usim>=5.4,<6", "pyzmq>=26", "hatchling>=1.27")
_FOLDER = ROOT / ".venv-nion"
_BIN = "Scripts" if sys.platform == "win32" else "bin"


class NionPython:
    """An interpreter with Nion's packages, and a folder with our distributions as pip installs them.

    installed : atomstream_wire, atomstream_client and nionswift_plugin/atomstream, and nothing else
    """

    def __init__(self, python: Path, installed: Path) -> None:
        self.installed = installed
        self._python = python
        folders = (installed, ROOT / "clients" / "nion", ROOT / "examples")  # the second for the simulated instrument
        self._environment = {**plain_environment(), "PYTHONPATH": ":".join(map(str, folders)), "PYTHONDONTWRITEBYTECODE": "1"}

    def start(self, script: Path, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen([str(self._python), str(script), *arguments], env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def finish(self, process: subprocess.Popen[str], timeout_s: float = 120) -> dict[str, Any]:
        """The JSON object that a script printed last; it has to end by itself and without an error."""
        try:
            out, err = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            pytest.fail(f"the script did not end within {timeout_s:g} s; it said:\n{out}\n{err}")
        assert process.returncode == 0, err
        said: dict[str, Any] = json.loads(out.splitlines()[-1])
        return said


def nion_python(folder: Path) -> NionPython:
    """Make the environment where there is none (20 s, kept in `.venv-nion`), and install our distributions into a folder."""
    python = _FOLDER / _BIN / "python"
    wanted = "\n".join(_PACKAGES)
    stamp = _FOLDER / ".installed"
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        base = next((found for version in _VERSIONS if (found := interpreter(version))), None)
        if base is None:
            pytest.skip(f"Nion's packages need Python {' or '.join(_VERSIONS)}, and this machine has none")
        shutil.rmtree(_FOLDER, ignore_errors=True)
        _run([base, "-m", "venv", str(_FOLDER)])
        _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *_PACKAGES])
        stamp.write_text(wanted, encoding="utf-8")
    sources = folder / "sources"
    shutil.copytree(ROOT / "clients", sources, ignore=shutil.ignore_patterns("__pycache__"))
    installed = folder / "installed"
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation"]
    _run([*pip, "--target", str(installed), str(sources), str(sources / "nion")])
    return NionPython(python, installed)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, env=plain_environment(), capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
