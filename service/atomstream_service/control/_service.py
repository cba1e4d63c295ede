"""What the control plane's routes work with: engine, members, journal, put together."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from atomstream_models.bundle import Bundle

from ..config import Config
from ..engine import EngineSpec
from ..members import MemberState
from ..transport import EngineUnavailable, Reply
from ._members import Members, Wish
from ._store import Entry, Store
from ._supervisor import EngineState, Supervisor

log = logging.getLogger(__name__)


class Service:
    """The control plane without its HTTP.

    bundle : the ensemble, opened and checked
    on_hopeless : called when the engine can't start at all
    """

    def __init__(self, config: Config, bundle: Bundle, on_hopeless: Callable[[], None]) -> None:
        self.config = config
        self.bundle = bundle
        self.store = Store(config.state)
        self.members = Members(bundle.sha256, bundle.card.member_ids, self.store, config.min_active, self._set_members)
        self.supervisor = Supervisor(
            self._spec,
            watchdog_s=config.watchdog_s,
            stall_s=config.stall_s,
            start_s=config.start_s,
            on_ready=self._on_ready,
            on_status=self._on_status,
            on_hopeless=on_hopeless,
        )

    def start(self) -> None:
        self.supervisor.start()

    def stop(self) -> None:
        self.supervisor.stop()
        self.store.close()

    def call(self, operation: str, arguments: Mapping[str, Any], buffers: tuple[Any, ...] = (), timeout_s: float = 10.0) -> Reply:
        """Send a command to the engine; raises EngineUnavailable, CommandRefused."""
        return self.supervisor.commands.call(operation, arguments, buffers, timeout_s)

    def status(self) -> dict[str, Any]:
        """The answer of `GET /v1/status`; complete whatever the engine does."""
        supervisor, wish = self.supervisor, self.members.wish
        seen, state = self._seen()
        card = self.bundle.card
        running = seen.get("members", {})
        timing = seen.get("timing", {})
        return {
            "engine": {
                "pid": supervisor.pid,
                "state": state,
                "device": seen.get("device"),
                "providers": seen.get("providers", []),
                "runtime": seen.get("runtime"),
                "restarts": supervisor.restarts,
                "last_restart_s": supervisor.last_restart_s,
            },
            "ensemble": {
                "name": card.name,
                "version": card.version,
                "sha256": self.bundle.sha256,
                "generation": wish.generation,
                "classes": list(card.classes),
                "origin": card.origin,
                "selected": wish.selected,
            },
            "members": {member: {"state": state, "latency_ms": running.get(member, {}).get("latency_ms")} for member, state in wish.states.items()},
            "streams": seen.get("streams", {}),
            "frames_per_s": timing.get("frames_per_s", 0.0),
            "latency_ms": timing.get("latency_ms", {}),
            "timing": timing,
            "memory_bytes": seen.get("memory_bytes"),
            "flags": seen.get("flags", []),
        }

    def _seen(self) -> tuple[Mapping[str, Any], EngineState]:
        """The engine's own status and state; the last ones known where it does not answer."""
        supervisor = self.supervisor
        if supervisor.state is not EngineState.READY:
            return supervisor.status, supervisor.state
        try:
            return self.call("status", {}, timeout_s=2.0).body, EngineState.READY
        except EngineUnavailable:
            return supervisor.status, EngineState.UNRESPONSIVE

    def not_ready(self) -> list[str]:
        """Why frames are not being answered; empty when they are."""
        seen, state = self._seen()
        if state is not EngineState.READY:
            return [f"the engine is {state}"]
        if MemberState.ENABLED not in self.members.wish.states.values():
            return ["no member is enabled"]
        busy_s = seen["busy_s"] or 0.0
        return [f"one frame has been under way for {busy_s:.0f} s"] if busy_s > self.config.watchdog_s else []

    def _spec(self, commands: str) -> EngineSpec:
        wish = self.members.wish
        return EngineSpec(
            config=self.config,
            commands=commands,
            bundle=self.bundle.folder,
            generation=wish.generation,
            states={member: str(state) for member, state in wish.states.items()},
            selected=wish.selected,
        )

    def _set_members(self, wish: Wish, why: Mapping[str, str], patience_s: float) -> None:
        arguments = {"generation": wish.generation, "states": dict(wish.states), "selected": wish.selected, "why": dict(why)}
        self.call("set_members", arguments, timeout_s=patience_s)

    def _on_ready(self, status: Mapping[str, Any]) -> None:
        generation = status["ensemble"]["generation"]
        if self.supervisor.restarts:
            self.store.record(Entry("control", "restart_engine", "engine", "it had ended", None, {"pid": status["pid"]}, generation), {})
        self.members.reconcile(generation)

    def _on_status(self, status: Mapping[str, Any]) -> None:
        if status["failures"]:
            log.error("members failed: %s", status["failures"])
            self.members.mark_failed(status["failures"])
        else:
            self.members.reconcile(status["ensemble"]["generation"])
