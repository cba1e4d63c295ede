"""A service in a process of its own, on free ports."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from atomstream_client import ControlClient

from ..errors import AtomstreamError


class LaunchFailed(AtomstreamError):
    """The service did not become ready."""


@dataclass(frozen=True)
class Launched:
    """Where a launched service is reached."""

    frames: str
    results: str
    http: str
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://{self.http}"

    def control(self, actor: str | None = None, token: str | None = None) -> ControlClient:
        return ControlClient(self.url, actor=actor, token=token)


def free_endpoint(host: str = "127.0.0.1") -> str:
    """A loopback HOST:PORT that nothing listens on right now."""
    with socket.create_server((host, 0)) as probe:
        return f"{host}:{probe.getsockname()[1]}"


@contextlib.contextmanager
def launched(
    state: Path,
    *,
    bundle: str = "graphene",
    config: str = "",
    environment: Mapping[str, str] | None = None,
    stderr: IO[bytes] | None = None,
    ready_s: float = 120.0,
    host: str = "127.0.0.1",
) -> Iterator[Launched]:
    """Run `atomstream serve` on free loopback ports until the context ends; ready when it begins.

    config : more settings, as TOML
    stderr : a file for its log; None to share this process's standard error
    host : a loopback address to use

    Raises
    ------
    LaunchFailed
        when the service ends or is not ready in time.
    """
    state.mkdir(parents=True, exist_ok=True)
    settings = state / "launched.toml"
    settings.write_text(config, encoding="utf-8")
    frames, results, http = f"tcp://{free_endpoint(host)}", f"tcp://{free_endpoint(host)}", free_endpoint(host)
    command = [sys.executable, "-m", "atomstream_service", "serve", "--config", str(settings), "--state", str(state)]
    command += ["--frames", frames, "--results", results, "--http", http, "--bundle", bundle]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=stderr)
    service = Launched(frames, results, http, process)
    try:
        control = service.control()
        if not any(control.wait_ready(1.0) for _ in range(int(ready_s)) if process.poll() is None):
            ended = process.poll()
            raise LaunchFailed(f"the service was not ready after {ready_s:g} s" if ended is None else f"the service ended with exit code {ended}")
        yield service
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
