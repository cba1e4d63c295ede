"""All refinements of a service: one runs, some wait, the others are over."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from atomstream_models.bundle import open_bundle

from ..extras import need_training
from ._errors import RefinementBusy, RefinementRefused, RefinementUnknown
from ._events import FollowedEvent, Told
from ._job import RefinementJob, RefinementState
from ._process import Priority, RefinementProcess, kill_left_over, refine_command
from ._request import RefinementRequest
from ._store import JobFolder, sweep

_LOG = logging.getLogger(__name__)


@dataclass
class _Record:
    """A refinement in memory.

    wanted : the state that it is to end in where it is being ended
    """

    job: RefinementJob
    place: JobFolder
    told: Told
    process: RefinementProcess | None = None
    wanted: RefinementState | None = None
    over: threading.Event = field(default_factory=threading.Event)


class Refinements:
    """Runs refinements one after the other, each in a process of its own, and remembers them in a folder.

    All methods may be called from any thread. Refinements that an earlier service left unfinished in the folder are `interrupted`: they run on
    when resumed, not by themselves.

    folder : everything about refinement ID lies in `folder/ID`; made where it is missing
    cores : processors that a refinement may use at most
    priority : see `Priority`
    gpu : whether it may use GPUs; these know no priorities, so the live stream would wait
    most_waiting : refinements that may wait for the running one
    most_kept : refinements that may lie in the folder
    patience_s : after which a refinement that was told to end is killed
    """

    def __init__(
        self,
        folder: Path,
        *,
        cores: int = 1,
        priority: Priority = "idle",
        gpu: bool = False,
        most_waiting: int = 4,
        most_kept: int = 32,
        patience_s: float = 10.0,
    ) -> None:
        self._folder = folder.absolute()
        self._cores = cores
        self._priority: Priority = priority
        self._gpu = gpu
        self._most_waiting = most_waiting
        self._most_kept = most_kept
        self._patience_s = patience_s
        self._changed = threading.Condition()
        self._closing = False
        self._folder.mkdir(parents=True, exist_ok=True)
        sweep(self._folder)
        with self._changed:
            self._records = self._remembered()
        self._worker = threading.Thread(target=self._work, name="refinements", daemon=True)
        self._worker.start()

    def start(self, request: RefinementRequest, parent: Path, actor: str) -> RefinementJob:
        """Begin a refinement of the bundle in the folder `parent`, or let it wait for the one that runs.

        Raises
        ------
        ExtraMissing
            where training is not installed.
        RefinementRefused
            where the frames' file is not there or the parent has not those members.
        RefinementBusy
            where too many wait already, or too many are kept.
        BundleError
            where `parent` is no bundle.
        """
        need_training()
        if not request.frames.path.is_file():
            raise RefinementRefused(f"there is no file of frames {request.frames.path}")
        members = open_bundle(parent).card.member_ids
        missing = sorted(set(request.members or ()) - set(members))
        if missing:
            raise RefinementRefused(f"the bundle in {parent} has no member {', '.join(missing)}, but {', '.join(members)}")
        with self._changed:
            self._may_be_kept()
            now = time.time()
            name = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now)) + f"-{secrets.token_hex(3)}"
            place = JobFolder(self._folder / name)
            job = RefinementJob(name, RefinementState.QUEUED, request, parent.absolute(), actor, now)
            place.create(job)
            self._records[name] = _Record(job, place, place.told)
            self._changed.notify_all()
            return job

    def check(self) -> None:
        """See that one could begin now, before anything is prepared for it.

        Raises
        ------
        ExtraMissing
            where training is not installed.
        RefinementBusy
            where too many wait already, or too many are kept.
        """
        need_training()
        with self._changed:
            self._may_be_kept()

    def jobs(self) -> list[RefinementJob]:
        """All refinements, the oldest first."""
        with self._changed:
            return [record.job for record in self._in_order()]

    def get(self, name: str) -> RefinementJob:
        """How a refinement stands.

        Raises
        ------
        RefinementUnknown
            where there is none of that id; so do all methods that take one.
        """
        with self._changed:
            return self._record(name).job

    def follow(self, name: str, *, after: int = -1, beat_s: float = 15.0) -> Iterator[FollowedEvent | None]:
        """What a refinement told, from the beginning or after event number `after`, then what it tells, until it is over.

        Yields None where nothing came for `beat_s`, so that whoever sends this on can see whether anybody still listens.
        """
        with self._changed:
            record = self._record(name)
        return self._following(record, after + 1, beat_s)

    def told(self, name: str, *, after: int = -1) -> tuple[list[FollowedEvent], bool]:
        """What a refinement has told after event number `after`, and whether it is over, at once; for who can't wait in `follow`."""
        # Without the lock, which is held while files are written; once it is over, nothing is told any more.
        record = self._record(name)
        over = record.job.state.over
        return record.told.events[after + 1 :], over

    def cancel(self, name: str) -> RefinementJob:
        """End a refinement; returns when its processes are gone. What it has trained stays, so that it may be resumed.

        Raises
        ------
        RefinementRefused
            where it is over.
        """
        with self._changed:
            record = self._record(name)
            if record.job.state.over:
                raise RefinementRefused(f"refinement {name} is {record.job.state} already")
            if record.job.state is RefinementState.QUEUED:
                self._end(record, RefinementState.CANCELLED)
                return record.job
            record.wanted, process = RefinementState.CANCELLED, record.process
        if process is not None:
            process.end(self._patience_s)
        record.over.wait()
        return record.job

    def resume(self, name: str) -> RefinementJob:
        """Let a refinement that did not come to its end go on where it was.

        Raises
        ------
        RefinementRefused
            where it is done, or under way, or the frames or the ensemble that it began with have been removed.
        RefinementBusy
            where too many wait already.
        """
        need_training()
        with self._changed:
            record = self._record(name)
            if not record.job.state.over or record.job.state is RefinementState.DONE:
                raise RefinementRefused(f"refinement {name} is {record.job.state}")
            for needed in (record.job.parent, record.job.request.frames.path):
                if not needed.exists():
                    raise RefinementRefused(f"refinement {name} can't go on: {needed}, which it began with, is gone")
            self._may_wait()
            record.wanted = None
            record.over.clear()
            self._set(record, state=RefinementState.QUEUED, error=None, ended=None)
            return record.job

    def delete(self, name: str) -> None:
        """Forget a refinement and throw away all that it left, its bundle too.

        Raises
        ------
        RefinementRefused
            where it is not over.
        """
        with self._changed:
            record = self._record(name)
            if not record.job.state.over:
                raise RefinementRefused(f"refinement {name} is {record.job.state}; cancel it first")
            record.place.delete()
            del self._records[name]

    def close(self) -> None:
        """End what runs, to be resumed another day."""
        with self._changed:
            self._closing = True
            records = [record for record in self._records.values() if not record.job.state.over]
            for record in records:
                record.wanted = record.wanted or RefinementState.INTERRUPTED
                if record.job.state is RefinementState.QUEUED:
                    self._end(record, record.wanted)
            processes = [record.process for record in records if record.process is not None]
            self._changed.notify_all()
        for process in processes:
            process.end(self._patience_s)
        self._worker.join()

    def _remembered(self) -> dict[str, _Record]:
        found = {}
        for folder in sorted(self._folder.iterdir()):
            place = JobFolder(folder)
            try:
                job, pid = place.load()
            except ValueError as error:
                _LOG.warning("%s", error)
                continue
            record = found[job.id] = _Record(job, place, place.told)
            if job.state.over:
                record.over.set()
                continue
            if pid is not None:
                kill_left_over(pid, place.run)
            self._end(record, RefinementState.INTERRUPTED)
        return found

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closing or self._next() is not None)
                record = self._next()
                if self._closing or record is None:
                    return
                self._set(record, state=RefinementState.RUNNING, started=time.time())
            try:
                state, error, bundle = self._run(record)
            except OSError as problem:
                state, error, bundle = RefinementState.FAILED, str(problem), None
            with self._changed:
                self._end(record, state, error, bundle)

    def _run(self, record: _Record) -> tuple[RefinementState, str | None, Path | None]:
        """Run a refinement to its end; answers its state, what went wrong, its bundle."""
        command = refine_command(record.job.request, record.job.parent, record.place.run, self._cores, self._priority)
        process = RefinementProcess(command, record.place.log, priority=self._priority, gpu=self._gpu)
        with self._changed:
            record.process = process
            ended_early = record.wanted is not None
            self._set(record)
        if ended_early:
            process.end(self._patience_s)
        bundle, error = None, None
        for line in process.lines():
            with self._changed:
                event = record.told.add(line)
                if event is not None:
                    bundle = Path(event.bundle) if event.bundle else bundle
                    error = event.message if event.stage == "failed" else error
                    record.job = replace(record.job, share=event.share, stage=event.stage, eta_s=event.eta_s)
                    self._changed.notify_all()
        code = process.wait()
        record.process = None
        if code == 0 and bundle is not None:
            record.place.trim()
            return RefinementState.DONE, None, bundle
        if record.wanted is not None:
            return record.wanted, None, None
        return RefinementState.FAILED, error or process.last_words() or f"the refinement's process ended with code {code}", None

    def _end(self, record: _Record, state: RefinementState, error: str | None = None, bundle: Path | None = None) -> None:
        """Write down how a refinement ended, and tell whoever follows it."""
        last = record.told.events[-1].stage if record.told.events else None
        match state:
            case RefinementState.CANCELLED:
                record.told.say("cancelled", time.time(), "")
            case RefinementState.INTERRUPTED:
                record.told.say("interrupted", time.time(), "the service ended")
            case RefinementState.FAILED if last != "failed":
                record.told.say("failed", time.time(), error or "")
        self._set(record, state=state, error=error, bundle=bundle, ended=time.time(), eta_s=None)
        record.over.set()

    def _set(self, record: _Record, **changes: Any) -> None:
        record.job = replace(record.job, **changes)
        if record.told.events:
            record.job = replace(record.job, stage=record.told.events[-1].stage, share=record.told.share)
        with suppress(OSError):  # a full disk must not end the refinement; what is lost is only how it stood before a restart
            record.place.keep(record.job, None if record.process is None else record.process.pid)
        self._changed.notify_all()

    def _following(self, record: _Record, first: int, beat_s: float) -> Iterator[FollowedEvent | None]:
        while True:
            with self._changed:
                self._changed.wait_for(partial(_anything_after, record, first), beat_s)
                new, over = record.told.events[first:], record.job.state.over
            first += len(new)
            yield from new
            if over:
                return
            if not new:
                yield None

    def _next(self) -> _Record | None:
        """The refinement that has waited longest."""
        return next((record for record in self._in_order() if record.job.state is RefinementState.QUEUED), None)

    def _in_order(self) -> list[_Record]:
        return sorted(self._records.values(), key=lambda record: record.job.created)

    def _may_be_kept(self) -> None:
        self._may_wait()
        if len(self._records) >= self._most_kept:
            raise RefinementBusy(f"{len(self._records)} refinements are kept already; delete some first")

    def _may_wait(self) -> None:
        waiting = sum(record.job.state is RefinementState.QUEUED for record in self._records.values())
        if waiting > self._most_waiting:
            raise RefinementBusy(f"{waiting} refinements wait already")

    def _record(self, name: str) -> _Record:
        if name not in self._records:
            raise RefinementUnknown(f"there is no refinement {name!r}")
        return self._records[name]


def _anything_after(record: _Record, number: int) -> bool:
    """Whether there are events from `number` on, or never will be."""
    return len(record.told.events) > number or record.job.state.over
