"""Ctrl-C before the engine is there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from atomstream_service.demo import free_endpoints


@pytest.mark.skipif(sys.platform != "linux", reason="the engine is found under /proc")
def test_an_interrupt_while_the_engine_starts_ends_the_service_without_a_traceback(tmp_path: Path) -> None:
    with free_endpoints(3) as (frames, results, http):
        command = [sys.executable, "-m", "atomstream_service", "serve", "--state", str(tmp_path / "state")]
        command += ["--frames", f"tcp://{frames}", "--results", f"tcp://{results}", "--http", http]
        service = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True)
        deadline = time.monotonic() + 60
        while not _children(service.pid):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(0.3)  # the engine imports
        os.killpg(service.pid, signal.SIGINT)
        _, errors = service.communicate(timeout=60)

    assert service.returncode == 0
    assert "Traceback" not in errors
    assert "starting it again" not in errors


def _children(pid: int) -> list[str]:
    tasks = Path(f"/proc/{pid}/task")
    return [child for one in tasks.iterdir() for child in (one / "children").read_text().split()]
