"""The notebook of the examples, run as a user runs it beside `atomstream demo --stay`."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from conftest import ROOT
from nbclient import NotebookClient

NOTEBOOK = ROOT / "examples" / "lattice_analysis.ipynb"


@pytest.fixture
def results(tmp_path: Path) -> Iterator[str]:
    """Where a demo publishes its results."""
    command = [sys.executable, "-m", "atomstream_service", "demo", "--stay", "--headless", "--count", "8"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=tmp_path)
    try:
        assert process.stdout is not None
        found = next(match for line in process.stdout if (match := re.search(r"results (tcp://\S+)", line)))
        yield found[1]
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)


def test_from_a_live_stream_to_a_lattice(results: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATOMSTREAM_RESULTS", results)
    monkeypatch.delenv("MPLBACKEND", raising=False)
    done = NotebookClient(nbformat.read(NOTEBOOK, as_version=4), timeout=120, kernel_name="python3").execute()
    (said,) = [output["text"] for output in done.cells[-1]["outputs"]]
    if folder := os.environ.get("SCREENSHOTS"):
        nbformat.write(done, Path(folder) / "lattice_analysis.ipynb")
    print("".join(output.get("text", "") for cell in done.cells for output in cell.get("outputs", ())))
    found: dict[str, Any] = json.loads(said)

    assert sum("image/png" in output.get("data", {}) for cell in done.cells for output in cell.get("outputs", ())) == 2
    a, b, angle = found["cell"]
    assert (found["frames"], len(found["atoms"])) == (8, 8)
    assert min(found["atoms"]) > 100
    assert found["bond_nm"] == pytest.approx(0.142, rel=0.03)
    assert (a, b) == (pytest.approx(0.246, rel=0.03), pytest.approx(0.246, rel=0.03))
    assert angle == pytest.approx(60, abs=2)
    assert max(map(abs, found["strain"])) < 0.02
    assert found["impurities"] > 0


def test_the_notebook_is_kept_without_what_it_printed() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)

    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)
