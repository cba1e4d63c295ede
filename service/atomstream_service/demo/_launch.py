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


@contextlib.contextmanager
def free_endpoints(count: int, host: str = "127.0.0.1") -> Iterator[tuple[str, ...]]:
    """Loopback HOST:PORTs, all different, that nothing listens on.

    On Linux nobody else who asks for any free port gets one of them until the context ends: who names one can listen there,
    and again after a restart.
    """
    with contextlib.ExitStack() as stack:
        taken = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in taken:
            # A port is shared with who names it where both sides allow it, and handed out to nobody.
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind((host, 0))
        endpoints = tuple(f"{host}:{one.getsockname()[1]}" for one in taken)
        if sys.platform != "linux":
            stack.close()
        yield endpoints


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
    with free_endpoints(3, host) as (frames, results, http):
        command = [sys.executable, "-m", "atomstream_service", "serve", "--config", str(settings), "--state", str(state)]
        command += ["--frames", f"tcp://{frames}", "--results", f"tcp://{results}", "--http", http, "--bundle", bundle]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=stderr)
        service = Launched(f"tcp://{frames}", f"tcp://{results}", http, process)
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
