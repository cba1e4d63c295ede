"""Keeps an engine running."""

from __future__ import annotations

import logging
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from ..orders import CANNOT_START, EngineSpec
from ..transport import CommandClient, EngineUnavailable
from ._store import StoreUnwritable

log = logging.getLogger(__name__)

_FIRST_TRIES = 3
_SETTLED_S = 30.0
_LONGEST_PAUSE_S = 10.0
_POLL_S = 1.0


class EngineState(StrEnum):
    """What the supervisor sees of the engine."""

    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    """It died and is being started again."""
    UNRESPONSIVE = "unresponsive"
    """It has just died, or does not answer; the supervisor will see to it."""
    STOPPED = "stopped"


class Supervisor:
    """Starts the engine, starts it again whenever it dies or hangs, and keeps its latest status.

    make_spec : given the command line's endpoint, what to start the engine with
    on_ready : called with the status of an engine that has just come up
    on_status : called with every status after that
    on_hopeless : called when the first start fails for a reason that trying again can't mend; whether something is different now
    """

    def __init__(
        self,
        make_spec: Callable[[str], EngineSpec],
        *,
        watchdog_s: float,
        stall_s: float,
        start_s: float,
        on_ready: Callable[[Mapping[str, Any]], None],
        on_status: Callable[[Mapping[str, Any]], None],
        on_hopeless: Callable[[], bool],
    ) -> None:
        self._make_spec = make_spec
        self._watchdog_s = watchdog_s
        self._stall_s = stall_s
        self._start_s = start_s
        self._died_at: float | None = None
        self._on_ready = on_ready
        self._on_status = on_status
        self._on_hopeless = on_hopeless
        self._folder = tempfile.TemporaryDirectory(prefix="atomstream-")
        self._starts = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)
        # Until there is an engine, nobody waits for its answer.
        self.commands = CommandClient(self._endpoint(), lambda: False)
        self.state = EngineState.STARTING
        self.restarts = 0
        self.pid: int | None = None
        self.last_restart_s: float | None = None
        self.status: Mapping[str, Any] = {}

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the engine: first by closing its standard input, then by force."""
        self._stop.set()
        process = self._process
        if process is not None:
            _close_input(process)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
        self._thread.join(20)
        self._folder.cleanup()

    def _endpoint(self) -> str:
        return f"ipc://{self._folder.name}/commands-{self._starts}"

    def _run(self) -> None:
        pause_s = 0.1
        came_up, tries = False, 0
        while not self._stop.is_set():
            born = time.monotonic()
            tries += 1
            code: int | None = None
            try:
                process = self._spawn()
                if self._wait_ready(process):
                    came_up = True
                    self._watch(process)
                code = process.wait()
                _close_input(process)
            except Exception:
                # Out of memory, a full disk: whatever it is, somebody has to go on trying.
                log.exception("starting the engine failed")
                if self._process is not None:
                    self._process.kill()
            self.pid = None
            self._died_at = time.monotonic()
            if self._stop.is_set():
                break
            if not came_up and (code == CANNOT_START or tries == _FIRST_TRIES):
                if not self._on_hopeless():
                    break
                tries = 0
            self.state = EngineState.RESTARTING
            self.restarts += 1
            log.error("engine ended with code %s; starting it again", code)
            pause_s = 0.1 if self._died_at - born > _SETTLED_S else min(2 * pause_s, _LONGEST_PAUSE_S)
            self._stop.wait(pause_s)
        self.state = EngineState.STOPPED

    def _spawn(self) -> subprocess.Popen[bytes]:
        self._starts += 1
        spec = Path(self._folder.name) / f"spec-{self._starts}.json"
        spec.write_text(self._make_spec(self._endpoint()).model_dump_json(), encoding="utf-8")
        # In a group of its own, an interrupt at the terminal does not end it while it still imports; it ends with what it is told through its input.
        process = subprocess.Popen([sys.executable, "-m", "atomstream_service.engine", str(spec)], stdin=subprocess.PIPE, process_group=0)
        self._process = process
        self.commands = CommandClient(self._endpoint(), lambda: process.poll() is None)
        self.pid = process.pid
        if self._stop.is_set():
            _close_input(process)  # `stop` came between the check and the start
        return process

    def _wait_ready(self, process: subprocess.Popen[bytes]) -> bool:
        deadline = time.monotonic() + self._start_s
        while process.poll() is None and not self._stop.is_set():
            try:
                self.status = self.commands.call("status", timeout_s=0.2).body
            except EngineUnavailable:
                if time.monotonic() > deadline:
                    log.error("engine was not ready after %.0f s; ending it", self._start_s)
                    process.kill()
                continue
            self.state = EngineState.READY
            if self._died_at is not None:
                self.last_restart_s = time.monotonic() - self._died_at
                log.warning("engine is back after %.2f s", self.last_restart_s)
            self._call(self._on_ready)
            return True
        return False

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        """Follow a running engine until it ends; one that does not answer, or not move, for too long is ended."""
        heard = time.monotonic()
        while not self._stop.is_set():
            try:
                process.wait(_POLL_S)
                return
            except subprocess.TimeoutExpired:
                pass
            try:
                self.status = self.commands.call("status", timeout_s=_POLL_S).body
            except EngineUnavailable:
                self.state = EngineState.UNRESPONSIVE
                silent_s = time.monotonic() - heard
                if silent_s > self._watchdog_s:
                    log.error("engine has not answered for %.0f s; ending it", silent_s)
                    process.kill()
                    return
                continue
            self.state = EngineState.READY
            if (self.status["busy_s"] or 0.0) > self._stall_s:
                log.error("engine has been on one frame for %.0f s; ending it", self._stall_s)
                process.kill()
                return
            self._call(self._on_status)
            heard = time.monotonic()

    def _call(self, listener: Callable[[Mapping[str, Any]], None]) -> None:
        try:
            listener(self.status)
        except (EngineUnavailable, StoreUnwritable) as error:
            log.warning("%s; it is tried again", error)
        except Exception:
            log.exception("following the engine failed; it is tried again")


def _close_input(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()
