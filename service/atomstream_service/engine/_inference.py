"""The one thread that owns all model sessions."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace

from atomstream_models.analysis import FrameRefused, Inferred, MemberFailed, Prepared, RunMembers, infer, prepare
from atomstream_models.each import Each
from atomstream_models.lengths import pixel_size_in_nm
from atomstream_models.runtime import LoadedEnsemble, Size
from atomstream_wire import Event, Failure

from ..config import Config
from ..heap import give_memory_back
from ..logs import Throttle
from ..members import MemberState
from ..orders import Wanted
from ._beside import Beside
from ._candidate import Candidate
from ._deadline import Deadline
from ._intake import Intake
from ._ledger import Ledger
from ._publishing import Pipeline
from ._scans import Scans
from ._trial import Reverted, Trial
from ._work import Active, Job, Work

log = logging.getLogger(__name__)
often = Throttle(log)

_IDLE_S = 0.5


class NoMember(RuntimeError):
    """No enabled member could run on a frame."""


class NotLoaded(RuntimeError):
    """The ensemble that was to become the live one is not loaded."""


@dataclass(frozen=True)
class _Run:
    """A frame that members have run on; failed : member id -> why its run failed."""

    active: Active
    prepared: Prepared
    clock_prepared: float
    inferred: Inferred
    failed: Mapping[str, str]


class Inference:
    """Answers frames one by one; what changes the ensemble happens between two of them.

    busy_since : when the frame that is being worked on was taken, on `time.monotonic`; None between frames
    failures : member id -> why its run failed; such a member is left out until the control plane has set its state
    trial : the first frames of a new ensemble, while they last
    reverted : the last trial that failed
    candidate : the ensemble that runs beside the live one
    deadline : how many members a frame has time for; None where all run
    scans : those that still run; None where only complete frames are looked at
    """

    def __init__(
        self,
        active: Active,
        intake: Intake[Job],
        pipeline: Pipeline,
        ledger: Ledger,
        config: Config,
        each: Each,
        deadline: Deadline | None = None,
        scans: Scans | None = None,
    ) -> None:
        self._active = active
        self._intake = intake
        self._pipeline = pipeline
        self._ledger = ledger
        self._config = config
        self._each = each
        self._frames = 0
        self.failures: dict[str, str] = {}
        self.busy_since: float | None = None
        self.trial: Trial | None = None
        self.reverted: Reverted | None = None
        self.candidate: Candidate | None = None
        self.deadline = deadline
        self.scans = scans
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)

    @property
    def active(self) -> Active:
        return self._active

    def start(self) -> None:
        self._thread.start()
        self._promote(self._active)

    def stop(self) -> None:
        """End the thread, then free every ensemble."""
        self._stop.set()
        self._thread.join(10)
        for ensemble in self._held():
            ensemble.close()

    def holds(self, sha256: str) -> bool:
        """Whether an ensemble is loaded here: live, last good or candidate."""
        return any(one.bundle.sha256 == sha256 for one in self._held())

    def apply(self, wanted: Wanted, loaded: LoadedEnsemble | None) -> Future[None]:
        """Bring about a wanted state at the next frame boundary.

        loaded : the ensemble, unless it is held here already
        The future is done once every result of the state before has been sent, so that whoever waits for it sees none of them
        afterwards; it raises `NotLoaded` where the ensemble is neither given nor held.
        """
        return self._at_boundary(lambda: self._apply(wanted, loaded))

    def set_candidate(self, candidate: Candidate | None) -> Future[None]:
        """Put another candidate on the bench, or none, from the next frame on; the one before it is freed."""

        def change() -> list[LoadedEnsemble]:
            before, self.candidate = self.candidate, candidate
            return [] if before is None else [before.ensemble]

        return self._at_boundary(change)

    def _at_boundary(self, change: Callable[[], list[LoadedEnsemble]]) -> Future[None]:
        """Call `change` between two frames; what it returns is freed once every result before it has been sent."""
        done: Future[None] = Future()

        def at_boundary() -> None:
            try:
                freed = change()
            except Exception as error:  # whatever it raised belongs to the one who waits
                done.set_exception(error)
                return

            def sent() -> None:
                _free(freed)
                done.set_result(None)

            self._pipeline.after_all(sent)

        self._intake.command(at_boundary)
        return done

    def _apply(self, wanted: Wanted, loaded: LoadedEnsemble | None) -> list[LoadedEnsemble]:
        before, trial = self._active, self.trial
        if wanted.generation < before.generation:
            return [] if loaded is None else [loaded]  # overtaken by a later change while its ensemble was loaded
        if wanted.sha256 == before.ensemble.bundle.sha256:
            if trial is not None and wanted.fallback_generation is not None:
                self.trial = replace(trial, generation=wanted.fallback_generation)
            self._active = Active(before.ensemble, wanted.generation, {**before.states, **wanted.states}, wanted.selected)
            freed = [] if loaded is None else [loaded]
        else:
            held = {one.bundle.sha256: one for one in self._held()}
            ensemble = held.get(wanted.sha256, loaded)
            if ensemble is None:
                raise NotLoaded(wanted.sha256)
            states = {member: wanted.states.get(member, MemberState.ENABLED) for member in ensemble.card.member_ids}
            after = Active(ensemble, wanted.generation, states, wanted.selected)
            if self.candidate is not None and self.candidate.ensemble is ensemble:
                self.candidate = None
            last_good = before if trial is None else trial.last_good
            on_trial = wanted.trial_frames and wanted.fallback_generation is not None and last_good.ensemble is not ensemble
            # The trial before the state, so that whoever looks from another thread never sees the new generation without it.
            self.trial = Trial(last_good, wanted.trial_frames, wanted.fallback_generation or 0) if on_trial else None
            self._active = after
            still = {id(one) for one in self._held()}
            freed = [one for one in (*held.values(), *([loaded] if loaded is not None else [])) if id(one) not in still]
        if self._active.ensemble is not before.ensemble:
            self._promote(self._active)
        self.failures = {}
        label, enabled = self._active.label, ", ".join(self._active.members_in(MemberState.ENABLED))
        log.info("%s %s answers from here on, with %s", label.name, label.version, enabled or "no member", extra={"generation": label.generation})
        return freed

    def _promote(self, active: Active) -> None:
        """Have a better way made ready for the live ensemble, where there is one; results say when it has taken over."""
        ensemble = active.ensemble
        if ensemble.not_promoted is not None:
            log.warning("%s keeps answering: %s", ensemble.way, ensemble.not_promoted)

        def told(size: Size) -> None:
            rows, columns = size.shape
            way = None if ensemble.promotion is None else str(ensemble.promotion.upgrade)
            about = {"way": way, "shape": [rows, columns], "name": ensemble.card.name, "version": ensemble.card.version}
            if size.stage == "ready":
                log.info("%s takes over for frames of %dx%d pixels", way, rows, columns, extra={"took_s": size.took_s})
                self._pipeline.say(Event("engine", time.time(), {"state": "promoted", **about}))
            else:
                log.warning("%s keeps answering frames of %dx%d pixels, not %s: %s", ensemble.way, rows, columns, way, size.why)
                self._pipeline.say(Event("engine", time.time(), {"state": "not_promoted", "reason": size.why, **about}))

        ensemble.promote(told)

    def _held(self) -> list[LoadedEnsemble]:
        held = [self._active.ensemble]
        held += [] if self.trial is None else [self.trial.last_good.ensemble]
        return held if self.candidate is None else [*held, self.candidate.ensemble]

    def _run(self) -> None:
        while not self._stop.is_set():
            item = self._intake.take(_IDLE_S)
            self.busy_since = time.monotonic()
            if isinstance(item, Job):
                self._answer(item)
            elif item is not None:
                item()
            self.busy_since = None

    def _answer(self, job: Job) -> None:
        taken = time.perf_counter()
        try:
            # A single frame out of anybody's file is no trial of an ensemble.
            run = self._tried(job) if self.trial is None or job.done is not None else self._tried_twice(job, self.trial)
        except FrameRefused as error:
            self._fail(job, error.code, str(error))
            return
        except NoMember as error:
            self._fail(job, "no_member", f"no enabled member could run: {error}")
            return
        done = time.perf_counter()
        self._frames += job.done is None
        beside: Future[Beside] | None = Future() if job.done is None and self._is_somebody_beside(run) else None
        self._pipeline.finish(Work(job, run.active, run.inferred, taken, run.clock_prepared, done, beside))
        if beside is not None:
            beside.set_result(self._beside(job, run))
        if job.done is None:
            self._passed_one()

    def _tried(self, job: Job) -> _Run:
        run = self._attempt(self._active, job, self.failures)
        for member, why in run.failed.items():
            self._leave_out(member, why, job)
        return run

    def _tried_twice(self, job: Job, trial: Trial) -> _Run:
        """A frame of a trial: where the new ensemble, or one of its members, fails on what the last good one can answer, that one is back."""
        run, trouble = None, ""
        try:
            run = self._attempt(self._active, job, self.failures)
            trouble = "; ".join(run.failed.values())
        except (FrameRefused, NoMember) as error:
            trouble = str(error)
        if run is not None and not trouble:
            return run
        try:
            safe = self._attempt(trial.last_good, job, ())
        except (FrameRefused, NoMember):
            return self._tried(job)  # no ensemble can answer it: the frame's fault, told as without a trial
        self._revert(trial, trouble)
        return replace(safe, active=self._active)

    def _revert(self, trial: Trial, reason: str) -> None:
        bad, self.failures = self._active, {}
        label = bad.label
        self.reverted = Reverted(label.name, label.version, label.sha256, bad.generation, trial.generation, reason)
        self._active, self.trial = trial.brought_back(), None
        good = self._active.label
        about = {"generation": good.generation}
        log.error("%s %s failed, %s %s is back: %s", label.name, label.version, good.name, good.version, reason, extra=about)
        body = {
            "generation": trial.generation,
            "name": good.name,
            "version": good.version,
            "actor": "engine",
            "reason": f"{label.name} {label.version}: {reason}",
        }
        self._pipeline.say(Event("ensemble", time.time(), body))
        self._pipeline.after_all(lambda: _free([bad.ensemble]))

    def _passed_one(self) -> None:
        if self.trial is None:
            return
        last_good, self.trial = self.trial.last_good, self.trial.passed_one()
        if self.trial.frames_left <= 0:
            self.trial = None
            self._pipeline.after_all(lambda: _free([last_good.ensemble]))

    def _attempt(self, active: Active, job: Job, left_out: Iterable[str]) -> _Run:
        frame, taken = job.frame, time.perf_counter()
        scans = self.scans if job.done is None and frame.complete else None
        prepared = prepare(
            job.image,
            pixel_size_in_nm(frame.pixel_size, frame.pixel_unit),
            active.ensemble.card,
            valid_rows=frame.valid_rows,
            max_pixels=self._config.max_pixels,
            carried=None if scans is None else scans.carried(job, active),
        )
        run = active.ensemble.answer if scans is None else scans.run_for(job, active, prepared)
        ready = time.perf_counter()
        members = [member for member in active.members_in(MemberState.ENABLED) if member not in left_out]
        # A trial is to see every member, and who asks for a single frame waits for all of them.
        if self.deadline is None or prepared.tensor is None or job.done is not None or self.trial is not None:
            return _Run(active, prepared, ready, *self._infer(active, prepared, members, run))
        ensemble, pixels = active.ensemble, prepared.tensor.size
        chosen = self.deadline.choose(members, ensemble.card, ensemble.at_once, pixels, 1000 * (ready - taken))
        followed = 0 if scans is None else scans.followed
        inferred, failed = self._infer(active, prepared, chosen, run, [member for member in members if member not in chosen])
        if scans is None or scans.followed == followed:  # what was seen while the scan ran says nothing of the next frame
            self.deadline.ran(len(chosen), ensemble.at_once, pixels, 1000 * (time.perf_counter() - ready))
        return _Run(active, prepared, ready, inferred, failed)

    def _infer(self, active: Active, prepared: Prepared, members: Sequence[str], run: RunMembers, spare: Sequence[str] = ()) -> tuple[Inferred, dict[str, str]]:
        """Run some members; a frame that one of them fails on is run again by the rest, and where none is left, by one of the spare ones.

        A member is blamed only where another one could run: what all fail on is the frame's fault.
        """
        failed: dict[str, str] = {}
        while members:
            try:
                return infer(prepared, active.ensemble.card, members, run, self._each), failed
            except MemberFailed as error:
                failed[error.member] = str(error)
                members = [member for member in members if member not in failed]
                if not members:
                    members, spare = spare[:1], spare[1:]
        raise NoMember("; ".join(failed.values()) or "no member is enabled")

    def _is_somebody_beside(self, run: _Run) -> bool:
        if self._frames % self._config.shadow_every or run.prepared.tensor is None:
            return False
        return self.candidate is not None or bool(self._shadows(run.active))

    def _shadows(self, active: Active) -> list[str]:
        return [member for member in active.members_in(MemberState.SHADOW) if member not in self.failures]

    def _beside(self, job: Job, run: _Run) -> Beside:
        """Run whoever never counts; the frame's own results are on their way already."""
        shadows, members = None, self._shadows(run.active)
        if members:
            try:
                shadows = infer(run.prepared, run.active.ensemble.card, members, run.active.ensemble.answer)
            except MemberFailed as error:
                self._leave_out(error.member, str(error), job)
        return Beside(shadows, None if self.candidate is None else self.candidate.run(job, time.perf_counter))

    def _leave_out(self, member: str, why: str, job: Job) -> None:
        self.failures[member] = why
        frame = job.frame
        about = {"source": frame.source, "session": frame.session, "seq": frame.seq, "generation": self._active.generation, "member": member}
        log.error("member fails and is left out: %s", why, extra=about)

    def _fail(self, job: Job, code: str, message: str) -> None:
        frame, generation = job.frame, self._active.generation
        often.say(
            logging.WARNING,
            "rejected",
            f"frame rejected: {message}",
            source=frame.source,
            session=frame.session,
            seq=frame.seq,
            code=code,
            generation=generation,
        )
        failure = Failure(frame.source, code, message, frame.session, frame.seq, time.time())
        if job.done is not None:
            job.done(failure)
            return
        self._ledger.lost(job.frame.source, "rejected")
        self._pipeline.say(failure)


def _free(ensembles: Sequence[LoadedEnsemble]) -> None:
    """Give back the memory of ensembles that no frame needs any more, without holding one up."""

    def close() -> None:
        for one in ensembles:
            one.close()
        give_memory_back()

    if ensembles:
        threading.Thread(target=close, name="freeing", daemon=True).start()
