"""The one thread that owns all model sessions."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from atomstream_models.analysis import FrameRefused, Inferred, MemberFailed, Prepared, infer, pixel_size_in_nm, prepare
from atomstream_models.each import Each
from atomstream_wire import Failure

from ..config import Config
from ..members import MemberState
from ._intake import Intake
from ._ledger import Ledger
from ._publishing import Pipeline
from ._work import Active, Job, Work

_IDLE_S = 0.5


class NoMember(RuntimeError):
    """No enabled member could run on a frame."""


class Inference:
    """Answers frames one by one; what changes the ensemble happens between two of them.

    busy_since : when the frame that is being worked on was taken, on `time.monotonic`; None between frames
    failures : member id -> why its run failed; such a member is left out until the control plane has set its state
    """

    def __init__(self, active: Active, intake: Intake[Job], pipeline: Pipeline, ledger: Ledger, config: Config, each: Each) -> None:
        self._active = active
        self._intake = intake
        self._pipeline = pipeline
        self._ledger = ledger
        self._config = config
        self._each = each
        self._frames = 0
        self.failures: dict[str, str] = {}
        self.busy_since: float | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)

    @property
    def active(self) -> Active:
        return self._active

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(10)

    def change(self, update: Callable[[Active], Active]) -> Future[Active]:
        """Replace the active state at the next frame boundary.

        The future holds the state before; it is done once every result of that state has been sent, so that
        whoever waits for it sees none of them afterwards.
        """
        done: Future[Active] = Future()

        def at_boundary() -> None:
            before = self._active
            try:
                self._active = update(before)
            except Exception as error:  # whatever the update raised belongs to the one who waits
                done.set_exception(error)
                return
            self.failures = {}
            self._pipeline.after_all(lambda: done.set_result(before))

        self._intake.command(at_boundary)
        return done

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
        active = self._active
        taken = time.perf_counter()
        frame = job.frame
        try:
            prepared = prepare(
                job.image,
                pixel_size_in_nm(frame.pixel_size, frame.pixel_unit),
                active.ensemble.card,
                valid_rows=frame.valid_rows,
                max_pixels=self._config.max_pixels,
            )
            ready = time.perf_counter()
            inferred = self._infer(active, prepared)
        except FrameRefused as error:
            self._fail(job, error.code, str(error))
            return
        except NoMember as error:
            self._fail(job, "no_member", f"no enabled member could run: {error}")
            return
        done = time.perf_counter()
        self._frames += job.done is None
        shadows: dict[str, Inferred] = {}
        self._pipeline.finish(Work(job, active, inferred, taken, ready, done, shadows))
        if job.done is None and self._frames % self._config.shadow_every == 0:
            self._run_shadows(active, prepared, shadows)

    def _infer(self, active: Active, prepared: Prepared) -> Inferred:
        """Run the enabled members; a frame that one of them fails on is run again by the rest.

        A member is blamed only where another one could run: what all fail on is the frame's fault.
        """
        members = self._healthy(active, MemberState.ENABLED)
        failed: dict[str, str] = {}
        while members:
            try:
                inferred = infer(prepared, active.ensemble.card, members, active.ensemble.run, self._each)
            except MemberFailed as error:
                failed[error.member] = str(error)
                members = [member for member in members if member not in failed]
            else:
                self.failures.update(failed)
                return inferred
        raise NoMember("; ".join(failed.values()) or "no member is enabled")

    def _run_shadows(self, active: Active, prepared: Prepared, into: dict[str, Inferred]) -> None:
        members = self._healthy(active, MemberState.SHADOW)
        if not members or prepared.tensor is None:
            return
        try:
            into.update(dict.fromkeys(members, infer(prepared, active.ensemble.card, members, active.ensemble.run)))
        except MemberFailed as error:
            self.failures[error.member] = str(error)

    def _healthy(self, active: Active, state: MemberState) -> Sequence[str]:
        return [member for member in active.members_in(state) if member not in self.failures]

    def _fail(self, job: Job, code: str, message: str) -> None:
        failure = Failure(job.frame.source, code, message, job.frame.session, job.frame.seq, time.time())
        if job.done is not None:
            job.done(failure)
            return
        self._ledger.lost(job.frame.source, "rejected")
        self._pipeline.say(failure)
