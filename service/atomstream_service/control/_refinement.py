"""Refinements from the live stream: frames are kept, a process learns from them, and what comes of it is registered."""

from __future__ import annotations

import contextlib
import itertools
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..record import RecordingRequest
from ..refinements import FramesFile, RefinementJob, RefinementParameters, RefinementRequest, Refinements, RefinementState, RefinementUnknown
from ..registry import Registry, RegistryEntry
from ._ensembles import Ensembles
from ._recording import Recording
from ._refusal import RequestRefused
from ._store import Entry, Store, StoreUnwritable
from ._wish import EnsembleRef, Lineup, Wish

log = logging.getLogger(__name__)

Then = Literal["register", "shadow"]
"""What becomes of a new ensemble: it waits in the registry, or runs beside the live one at once."""

_LONGEST_VERSION = 64


@dataclass(frozen=True)
class Source:
    """Where the frames of a refinement come from.

    recording : name of a recording; None for the ring, whose frames are kept as a recording first
    ring : which of the ring's frames, as `Ring.select` names them
    frames : numbers of the frames to learn from, from 0; None for all
    """

    recording: str | None = None
    ring: Mapping[str, Any] = field(default_factory=dict)
    frames: tuple[int, ...] | None = None


class Refinement:
    """Starts refinements and registers what comes of them.

    folder_of : where a registered ensemble lies
    wish : what holds now
    """

    def __init__(
        self,
        refinements: Refinements,
        recording: Recording,
        registry: Registry,
        ensembles: Ensembles,
        store: Store,
        folder_of: Callable[[EnsembleRef], Path],
        wish: Callable[[], Wish],
    ) -> None:
        self.jobs = refinements
        self._recording = recording
        self._registry = registry
        self._ensembles = ensembles
        self._store = store
        self._folder_of = folder_of
        self._wish = wish
        self._noting = threading.Lock()
        self._needing = threading.Lock()
        self._needed: list[Path] = []
        self._leaving: list[Path] = []
        self._results: dict[str, dict[str, Any]] = store.read("refinements", {})

    def start(
        self,
        source: Source,
        actor: str,
        reason: str,
        *,
        then: Then,
        members: tuple[str, ...] | None,
        regions: tuple[tuple[int, int, int, int], ...],
        leave_out: tuple[tuple[int, int, int, int], ...],
        parameters: RefinementParameters,
        name: str | None,
        version: str | None,
    ) -> RefinementJob:
        """Learn from frames that were just seen, or were recorded.

        members : of the live ensemble, whose mean makes the labels; those that are enabled by default

        Raises
        ------
        RequestRefused
            404 for a member that the live ensemble does not have, 409 for a recording that is not over, or is being deleted.
        RefinementRefused, RecordingRefused
            where the frames can't be had.
        ExtraMissing
            where training is not installed.
        """
        with self._parent() as (live, parent):
            chosen = members or tuple(member for member, state in live.states.items() if state == "enabled")
            if unknown := [member for member in chosen if member not in live.states]:
                raise RequestRefused(404, "unknown_member", f"there is no member {', '.join(unknown)}; there are {', '.join(live.states)}")
            if not chosen:
                raise RequestRefused(409, "no_member", "no member is enabled, so nobody can label the frames; name members")
            self.jobs.check()
            with self._frames(source, actor, reason) as path:
                request = RefinementRequest(
                    frames=FramesFile(path=path, frames=source.frames),
                    regions=regions,
                    leave_out=leave_out,
                    members=chosen,
                    parameters=parameters,
                    name=name,
                    version=version or self._free_version(name or live.ensemble.name, live.ensemble.version),
                    reason=reason,
                )
                job = self.jobs.start(request, parent, actor)
            before = {"parent": str(live.ensemble), "members": chosen}
            self._note(job.id, {"then": then}, Entry(actor, "refine", job.id, reason, before, {"frames": str(path)}, self._wish().generation))
            self._follow(job)
            return job

    def resume(self, job_id: str, actor: str, reason: str) -> RefinementJob:
        """Let a refinement that did not come to its end go on where it was."""
        known = self.jobs.get(job_id)
        with self._held(known.parent), self._held(known.request.frames.path):
            job = self.jobs.resume(job_id)
        self._store.note(Entry(actor, "resume_refinement", job_id, reason, None, None, self._wish().generation))
        self._follow(job)
        return job

    def end(self, job_id: str, actor: str, reason: str) -> str:
        """Cancel a refinement that is not over, or forget one that is; what was done."""
        if not self.jobs.get(job_id).state.over:
            state = self.jobs.cancel(job_id).state
            if state is RefinementState.CANCELLED:
                self._store.note(Entry(actor, "refinement_cancelled", job_id, reason, None, None, self._wish().generation))
            return state  # it may have come to its end first
        self.jobs.delete(job_id)
        with self._noting:
            self._results = {one: result for one, result in self._results.items() if one != job_id}
        self._note(job_id, {}, Entry(actor, "refinement_deleted", job_id, reason, None, None, self._wish().generation))
        return "deleted"

    @contextlib.contextmanager
    def unneeded(self, path: Path, what: object) -> Iterator[None]:
        """A context to remove something in: an ensemble's folder, or a recording, that no refinement needs, nor begins to.

        Raises
        ------
        RequestRefused
            409, naming the refinement that needs it.
        """
        path = path.absolute()
        with self._needing:
            users = [job for job in self.jobs.jobs() if not job.state.over and path in (job.parent, job.request.frames.path)]
            if users:
                raise RequestRefused(409, "in_use", f"{what} is needed by refinement {users[0].id}, which is {users[0].state}: cancel it first, or let it end")
            if path in self._needed:
                raise RequestRefused(409, "in_use", f"{what} is needed by a refinement that is about to begin")
            self._leaving.append(path)
        try:
            yield
        finally:
            with self._needing:
                self._leaving.remove(path)

    def as_json(self, job: RefinementJob) -> dict[str, Any]:
        """A job with what became of it.

        `ensemble`, which was registered, or `refused`, why it was not. Where it was to run beside the live one, then `shadowed`, or `not_shadowed`, why not.
        """
        return {**job.as_json(), **self._results.get(job.id, {})}

    def take_up(self) -> None:
        """Register what was done when an earlier service ended before it could."""
        wish = self._wish()
        seen = [ref.sha256 for ref in (wish.candidate, wish.live.ensemble) if ref is not None]
        for job in self.jobs.jobs():
            result = self._results.get(job.id, {})
            if job.state is not RefinementState.DONE or {"refused", "not_shadowed", "shadowed"} & result.keys():
                continue
            if "ensemble" not in result:
                threading.Thread(target=self._register, args=(job,), name="registering", daemon=True).start()
            elif result.get("then") == "shadow" and result["ensemble"]["sha256"] not in seen:
                self._note(job.id, {"not_shadowed": "the service ended before it could be"})

    def close(self) -> None:
        self.jobs.close()

    @contextlib.contextmanager
    def _parent(self) -> Iterator[tuple[Lineup, Path]]:
        """The live line-up and its ensemble's folder, which stays within the context even if another ensemble becomes live meanwhile."""
        live = self._wish().live
        with self._held(self._folder_of(live.ensemble)):
            # Once more: another one may have become live, and this one have been removed, just before.
            yield live, self._folder_of(live.ensemble)

    @contextlib.contextmanager
    def _held(self, path: Path) -> Iterator[Path]:
        """A context in which something stays that a refinement is about to need; raises RequestRefused (409) where it is being removed."""
        path = path.absolute()
        with self._needing:
            if path in self._leaving:
                raise RequestRefused(409, "being_removed", f"{path.name} is just being removed")
            self._needed.append(path)
        try:
            yield path
        finally:
            with self._needing:
                self._needed.remove(path)

    @contextlib.contextmanager
    def _frames(self, source: Source, actor: str, reason: str) -> Iterator[Path]:
        """The frames' file, which stays within the context; what was kept for the refinement alone goes with it where nothing comes of it."""
        if source.recording is not None:
            with self._held(self._recording.info(source.recording).path) as path:
                if self._recording.info(source.recording).state == "recording":
                    raise RequestRefused(409, "busy", f"{source.recording} is being recorded: stop it first")
                yield path
            return
        kept = time.strftime("refined-%Y%m%dT%H%M%S", time.gmtime()) + f"-{time.time_ns() // 1_000_000 % 1000:03d}"
        request = RecordingRequest(reason=reason or "to learn from", actor=actor)
        with self._held(self._recording.start(kept, request, source.ring, live=False, generation=self._wish().generation).path) as path:
            try:
                yield path
            except Exception:
                self._recording.delete(kept, actor, "nothing came of its refinement", self._wish().generation)
                raise

    def _free_version(self, name: str, parent: str) -> str:
        taken = {entry.version for entry in self._registry.entries() if entry.name == name}
        taken |= {job.request.version for job in self.jobs.jobs() if job.request.version is not None}
        version = next(version for k in itertools.count(1) if (version := f"{parent}.{k}") not in taken)
        # Every generation adds to it.
        return version if len(version) <= _LONGEST_VERSION else time.strftime("r%Y%m%dT%H%M%S", time.gmtime()) + f"-{secrets.token_hex(3)}"

    def _follow(self, job: RefinementJob) -> None:
        def follow() -> None:
            for _ in self.jobs.follow(job.id):
                pass
            try:
                over = self.jobs.get(job.id)
            except RefinementUnknown:
                return  # deleted as soon as it was over
            if over.state is RefinementState.DONE:
                self._register(over)
            else:
                log.warning("refinement %s is %s: %s", over.id, over.state, over.error or "")

        threading.Thread(target=follow, name=f"refinement-{job.id}", daemon=True).start()

    def _register(self, job: RefinementJob) -> None:
        assert job.bundle is not None
        try:
            entry: RegistryEntry = self._registry.add_folder(job.bundle, source="refinement", actor=job.actor)
        except Exception as error:  # whatever it is, whoever waits for the refinement must hear of it
            log.exception("refinement %s was refused", job.id)
            self._note(job.id, {"refused": str(error) or type(error).__name__})
            return
        about = {"name": entry.name, "version": entry.version, "sha256": entry.sha256}
        after = {**about, "refinement": job.id}
        line = Entry(job.actor, "register", f"{entry.name} {entry.version}", job.request.reason, None, after, self._wish().generation)
        self._note(job.id, {"ensemble": about}, line)
        if self._results.get(job.id, {}).get("then") == "shadow":
            try:
                self._ensembles.shadow(entry.name, entry.version, job.actor, f"refinement {job.id}")
            except Exception as error:  # as above
                log.exception("%s %s could not be run beside the live ensemble", entry.name, entry.version)
                self._note(job.id, {"not_shadowed": str(error) or type(error).__name__})
            else:
                self._note(job.id, {"shadowed": True})

    def _note(self, job_id: str, what: Mapping[str, Any], entry: Entry | None = None) -> None:
        """Keep what became of a refinement, together with a line of the journal; that of one that was deleted meanwhile is the line alone.

        Where the disk does not take it, it is known until the service ends, and written with what is noted next.
        """
        with self._noting:
            if any(job.id == job_id for job in self.jobs.jobs()):
                # First in memory: whoever waits must hear of it also where the disk is full.
                self._results = {**self._results, job_id: {**self._results.get(job_id, {}), **what}}
            state = {"refinements": self._results}
            try:
                if entry is None:
                    self._store.save(state)
                else:
                    self._store.record(entry, state)
            except StoreUnwritable as error:
                log.error("what became of refinement %s is not written down: %s", job_id, error)
