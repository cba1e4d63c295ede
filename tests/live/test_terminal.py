"""A service that runs in a terminal which is closed: a true pseudo-terminal, whose end the kernel tells every process that runs in it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import make_plain_bundle
from streaming import streaming
from waiting import until

from atomstream_client import ControlClient
from atomstream_models.recording import open_recording
from atomstream_service.demo import Launched, free_endpoints

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no terminals that signal their end")

_ENTER = "import os, sys; os.login_tty(int(sys.argv[1])); os.execvp(sys.argv[2], sys.argv[2:])"
"""A program that runs another one in a terminal."""


@contextlib.contextmanager
def _in_a_terminal(folder: Path, *, nohup: bool = False) -> Iterator[tuple[Launched, int]]:
    """A service, and the end of its terminal that is to be closed."""
    bundle = make_plain_bundle(folder / "plain").folder
    (folder / "settings.toml").write_text("warm_shapes = [[64, 64]]\n", encoding="utf-8")
    ours, its = os.openpty()
    with free_endpoints(3) as (frames, results, http):
        command = [sys.executable, "-m", "atomstream_service", "serve", "--config", str(folder / "settings.toml"), "--state", str(folder / "state")]
        command += ["--bundle", str(bundle), "--frames", f"tcp://{frames}", "--results", f"tcp://{results}", "--http", http]
        command = [sys.executable, "-c", _ENTER, str(its), *(["nohup"] if nohup else []), *command]
        process = subprocess.Popen(command, pass_fds=(its,), cwd=folder)
        os.close(its)
        try:
            assert ControlClient(f"http://{http}").wait_ready(60)
            yield Launched(f"tcp://{frames}", f"tcp://{results}", http, process), ours
        finally:
            process.kill()
            process.wait()


def test_closing_the_terminal_ends_the_service_as_a_stop_does_and_no_recorded_frame_is_lost(tmp_path: Path) -> None:
    with _in_a_terminal(tmp_path) as (service, terminal):
        service.control().recordings.start("run")
        with streaming(service.frames, service.results, shape=(64, 64)) as stream:
            stream.wait_for(5)
        os.close(terminal)
        code = service.process.wait(30)

    assert code == 0
    with open_recording(tmp_path / "state" / "recordings" / "run.h5") as recording:
        assert (len(recording), recording.ended_because) == (len(stream.answers), "stopped")


def test_a_service_under_nohup_outlives_its_terminal(tmp_path: Path) -> None:
    with _in_a_terminal(tmp_path, nohup=True) as (service, terminal):
        engine = service.control().status()["engine"]["pid"]
        os.close(terminal)
        with streaming(service.frames, service.results, shape=(64, 64)) as stream:
            stream.wait_for(3)
        until(lambda: service.control().status()["engine"], lambda seen: (seen["pid"], seen["restarts"]) == (engine, 0))
        service.process.terminate()
        assert service.process.wait(30) == 0
