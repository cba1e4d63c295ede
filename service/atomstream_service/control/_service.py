"""What the control plane's routes work with: engine, members, journal, put together."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from atomstream_models.bundle import Bundle, BundleError, open_bundle

from ..access import Gatekeeper, TokenFile
from ..config import Config
from ..members import MemberState
from ..orders import EngineSpec, Wanted
from ..record import Recordings
from ..refinements import Refinements
from ..registry import NotRegistered, Registry, RegistryEntry, RegistryError, WatchFolder
from ..transport import EngineUnavailable, Reply
from ._drift import Drift
from ._ensembles import Ensembles, reference
from ._keeper import Keeper, restored
from ._lease import Leases
from ._members import Members
from ._metrics import Metrics
from ._recording import Recording
from ._refinement import Refinement
from ._refusal import RequestRefused
from ._store import Entry, Store
from ._supervisor import EngineState, Supervisor
from ._wish import EnsembleRef, Lineup, Wish, without

log = logging.getLogger(__name__)

_AGAIN_S = 60.0
"""An engine that ends twice within this has not ended by chance."""


class Service:
    """The control plane without its HTTP.

    configured : the ensemble that the service is started with, opened and checked
    on_hopeless : called when the engine can't start at all
    """

    def __init__(self, config: Config, configured: Bundle, on_hopeless: Callable[[], None]) -> None:
        self.config = config
        self._on_hopeless = on_hopeless
        self._ended = -_AGAIN_S
        self.gatekeeper = Gatekeeper(TokenFile(config.state), config.access)
        self.metrics = Metrics(self.status)
        self.store = Store(config.state)
        self.store.listen(self.metrics.meters.acted)
        self.registry = Registry(config.state / "registry", device=config.device, threads=config.threads, warm_shapes=config.warm_shapes)
        self.registry.adopt(configured, "configured", "control")
        self._opened: dict[tuple[str, str], Bundle] = {}
        every_member = Lineup(reference(configured), dict.fromkeys(configured.card.member_ids, MemberState.ENABLED), False)
        self.keeper = Keeper(restored(self.store, every_member, self._is_usable), self.store, self._tell)
        self.members = Members(self.keeper, config.min_active)
        self.ensembles = Ensembles(
            self.keeper, self.registered, self.call, self.metrics.meters, min_active=config.min_active, trial_frames=config.trial_frames, load_s=config.start_s
        )
        self.drift = Drift(
            self.store,
            self.keeper,
            self.members,
            self.call,
            lambda: self.supervisor.pid,
            watch=config.drift,
            quarantine=config.quarantine,
            min_active=config.min_active,
        )
        recordings = Recordings(config.state / "recordings", log_format=config.log_format, log_level=config.log_level)
        self.recording = Recording(recordings, self.store, self.call)
        self.refinement = Refinement(
            Refinements(config.state / "refinements", cores=config.refinement_cores, priority=config.refinement_priority),
            self.recording,
            self.registry,
            self.ensembles,
            self.store,
            lambda ref: self.registry.folder_of(ref.name, ref.version),
            lambda: self.wish,
        )
        self.watch_folder = None if config.watch_folder is None else self._watching(config.watch_folder)
        self.leases = Leases(self.store, lambda: self.wish.generation)
        self.supervisor = Supervisor(
            self._spec,
            watchdog_s=config.watchdog_s,
            stall_s=config.stall_s,
            start_s=config.start_s,
            on_ready=self._on_ready,
            on_status=self._on_status,
            on_hopeless=self._is_there_another_way,
        )

    @property
    def wish(self) -> Wish:
        return self.keeper.wish

    @property
    def bundle(self) -> Bundle:
        """The live ensemble's."""
        live = self.wish.live.ensemble
        return self.registered(live.name, live.version)

    def registered(self, name: str, version: str) -> Bundle:
        """A registered bundle, opened and checked once; raises NotRegistered, BundleError."""
        entry = self.registry.get(name, version)
        known = self._opened.get((name, version))
        if known is None or known.sha256 != entry.sha256:
            known = self._opened[name, version] = open_bundle(entry.folder)
        return known

    def _is_usable(self, ref: EnsembleRef) -> bool:
        try:
            return self.registered(ref.name, ref.version).sha256 == ref.sha256
        except (NotRegistered, BundleError) as error:
            log.error("%s was the live ensemble and can't be used any more: %s", ref, error)
            return False

    def note_registered(self, entry: RegistryEntry, actor: str) -> None:
        """Journal an ensemble that has come into the registry."""
        after = {"name": entry.name, "version": entry.version, "sha256": entry.sha256, "source": entry.source}
        self.store.note(Entry(actor, "register", f"{entry.name} {entry.version}", "", None, after, self.wish.generation))

    def _watching(self, folder: Path) -> WatchFolder:
        def added(entry: RegistryEntry) -> None:
            self.note_registered(entry, "watch folder")

        def refused(file: Path, error: RegistryError) -> None:
            self.store.note(Entry("watch folder", "refuse", file.name, str(error), None, None, self.wish.generation))

        return WatchFolder(folder, self.registry, added, refused, limit_bytes=self.config.max_upload_bytes)

    def remove_ensemble(self, name: str, version: str, actor: str, reason: str, expected_generation: int | None = None) -> int:
        """Take an ensemble out of the registry; returns the generation, which does not change.

        Raises
        ------
        NotRegistered
            where there is none.
        RequestRefused
            409 where it is in use, also by a refinement, 412 where the state has changed since `expected_generation`.
        """
        entry = self.registry.get(name, version)
        ref = EnsembleRef(name, version, entry.sha256)
        with self.keeper.turn(expected_generation) as before:
            used = [before.live.ensemble, before.candidate, None if before.trial is None else before.trial.last_good.ensemble]
            if ref in used:
                raise RequestRefused(409, "in_use", f"{ref} is live, the last good one or a candidate; it can't be removed now")
            with self.refinement.unneeded(entry.folder, ref):
                self.registry.remove(name, version)
            self._opened.pop((name, version), None)
            gone = {"name": name, "version": version, "sha256": entry.sha256}
            self.keeper.remember(without(before, ref), Entry(actor, "remove_ensemble", str(ref), reason, gone, None, before.generation))
            return before.generation

    def start(self) -> None:
        self.supervisor.start()
        self.drift.start()
        self.refinement.take_up()
        if self.watch_folder is not None:
            self.watch_folder.start()

    def stop(self) -> None:
        """End all parts, each whatever happens to the others: a recording is closed and the engine ended also where the disk is full."""
        with contextlib.ExitStack() as ending:  # the last one first
            ending.callback(self.store.close)
            ending.callback(self.supervisor.stop)
            ending.callback(self.recording.close)
            ending.callback(self.drift.stop)
            ending.callback(self.refinement.close)
            if self.watch_folder is not None:
                ending.callback(self.watch_folder.close)

    def call(self, operation: str, arguments: Mapping[str, Any], buffers: tuple[Any, ...] = (), *, timeout_s: float = 10.0) -> Reply:
        """Send a command to the engine; raises EngineUnavailable, CommandRefused."""
        return self.supervisor.commands.call(operation, arguments, buffers, timeout_s)

    def status(self, fresh: bool = True) -> dict[str, Any]:
        """The answer of `GET /v1/status`; complete whatever the engine does.

        fresh : ask the engine; otherwise it is told as it was within the last second, and takes no time from the frames
        """
        supervisor, wish = self.supervisor, self.wish
        seen, state = self._seen() if fresh else (supervisor.status, supervisor.state)
        bundle = self.registered(wish.live.ensemble.name, wish.live.ensemble.version)
        card = bundle.card
        running = seen.get("members", {})
        timing = seen.get("timing", {})
        return {
            "engine": {
                "pid": supervisor.pid,
                "state": state,
                "device": seen.get("device"),
                "providers": seen.get("providers", []),
                "runtime": seen.get("runtime"),
                "bits": seen.get("bits"),
                "choice": seen.get("choice"),
                "upgrade": seen.get("upgrade"),
                "restarts": supervisor.restarts,
                "last_restart_s": supervisor.last_restart_s,
            },
            "ensemble": {
                "name": card.name,
                "version": card.version,
                "sha256": bundle.sha256,
                "generation": wish.generation,
                "classes": list(card.classes),
                "origin": card.origin,
                "selected": wish.live.selected,
                "trial": seen.get("trial"),
                "candidate": seen.get("candidate"),
                "reverted": seen.get("reverted"),
            },
            "members": {member: {"state": state, "latency_ms": running.get(member, {}).get("latency_ms")} for member, state in wish.states.items()},
            "drift": self.drift.sources,
            "deadline": seen.get("deadline"),
            "scans": seen.get("scans"),
            "access": {"http": self.gatekeeper.counts(), "zeromq": seen.get("refused")},
            "streams": seen.get("streams", {}),
            "frames_per_s": timing.get("frames_per_s", 0.0),
            "latency_ms": timing.get("latency_ms", {}),
            "timing": timing,
            "tracks": seen.get("tracks"),
            "unwatched": seen.get("unwatched"),
            "failed_after": seen.get("failed_after"),
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
        if MemberState.ENABLED not in self.wish.states.values():
            return ["no member is enabled"]
        busy_s = seen["busy_s"] or 0.0
        return [f"one frame has been under way for {busy_s:.0f} s"] if busy_s > self.config.watchdog_s else []

    def _spec(self, commands: str) -> EngineSpec:
        if self.supervisor.restarts:
            ended, self._ended = self._ended, time.monotonic()
            self.ensembles.engine_ended(again=self._ended - ended < _AGAIN_S)
        return EngineSpec(
            config=self.config.model_copy(update={"drift": self.drift.watch, "quarantine": self.drift.engines_policy}),
            commands=commands,
            wanted=self._wanted(self.wish),
            drift=self.drift.remembered,
            races=list(self.supervisor.status.get("races", [])),
        )

    def _is_there_another_way(self) -> bool:
        """Whether an engine that can't start may with the last good ensemble; else the service ends."""
        if self.ensembles.engine_ended():
            return True
        self._on_hopeless()
        return False

    def _wanted(self, wish: Wish) -> Wanted:
        live, trial = wish.live, wish.trial
        return Wanted(
            generation=wish.generation,
            sha256=live.ensemble.sha256,
            folder=self.registered(live.ensemble.name, live.ensemble.version).folder,
            states=dict(live.states),
            selected=live.selected,
            trial_frames=0 if trial is None else self.config.trial_frames,
            fallback_generation=None if trial is None else trial.generation,
        )

    def _tell(self, wish: Wish, why: Mapping[str, str], patience_s: float) -> None:
        self.call("apply", {"wanted": self._wanted(wish).model_dump(mode="json"), "why": dict(why)}, timeout_s=patience_s)

    def _on_ready(self, status: Mapping[str, Any]) -> None:
        generation = status["ensemble"]["generation"]
        if self.supervisor.restarts:
            self.store.note(Entry("control", "restart_engine", "engine", "it had ended", None, {"pid": status["pid"]}, generation))
        self.recording.resume()
        self._follow(status)

    def _on_status(self, status: Mapping[str, Any]) -> None:
        self.recording.reap()
        if status["failures"] and status["ensemble"]["generation"] == self.wish.generation:
            self.members.mark_failed(status["failures"], status["ensemble"]["generation"])
        else:
            self._follow(status)

    def _follow(self, status: Mapping[str, Any]) -> None:
        """Note what the engine did by itself, remind it of what it has missed, and free it of what nobody needs."""
        self.ensembles.follow(status)
        self.ensembles.let_go(status)
        if status["ensemble"]["generation"] != self.wish.generation:
            self.keeper.remind()
        candidate, wanted = status["candidate"], self.wish.candidate
        if (None if candidate is None else candidate["sha256"]) != (None if wanted is None else wanted.sha256):
            self.ensembles.remind_of_candidate()
