"""The engine's parts put together."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from atomstream_models import locate
from atomstream_models.each import Sharing
from atomstream_models.runtime import Loader, Races, processors, tensorrt_upgrade
from atomstream_wire import Event, Failure

from .. import drift
from ..access import CurveFolder
from ..config import Config, FramesEndpoint
from ..formats import reader_for
from ..members import MemberState
from ..orders import EngineSpec, Wanted
from ..traces import open_traces
from ..tracks import TrackLinker
from ..transport import STOPPING, AskingSocket, CurveGuard, FrameSocket, ResultSocket
from ._afterwards import Afterwards
from ._candidate import Candidate
from ._deadline import Deadline
from ._inference import Inference, NotLoaded
from ._intake import Intake
from ._keeping import Keeping
from ._ledger import Ledger
from ._publishing import Pipeline
from ._receiving import Receiving
from ._scans import Scans
from ._slot import Slot
from ._staging import Staging
from ._timing import Timing
from ._tracing import frame_traces
from ._watch import DriftWatch
from ._work import Active, Finished, Job

_MOST_REQUESTS = 8


class Engine:
    """Frames in, results out, from `start` to `stop`.

    Raises
    ------
    BundleError, LoadError
        where the ensemble can't be used.
    AddressUnusable
        where a socket can't be bound or connected.
    AccessFileError, CurveUnusable
        where ZeroMQ keys are asked for and can't be had.
    ExtraMissing
        where a frame socket's format needs a package that is not installed.
    """

    def __init__(self, spec: EngineSpec) -> None:
        config = spec.config
        self.races = Races(spec.races)
        upgrade = tensorrt_upgrade(config.device, config.precision, config.state / "tensorrt") if config.tensorrt else None
        loader = Loader(config.device, config.threads, config.runtime, config.precision, config.warm_shapes, config.tile_pixels, self.races, upgrade)
        self.staging = Staging(loader, config.warm_shapes, config.strip_rows, config.threads)
        wanted = spec.wanted
        ensemble = self.staging.load(wanted.folder)
        locate.make_ready()
        drift.make_ready()
        states = {member: wanted.states.get(member, MemberState.ENABLED) for member in ensemble.card.member_ids}
        self.ledger = Ledger()
        self.timing = Timing()
        self.intake: Intake[Job] = Intake(config.frames, _MOST_REQUESTS, lambda job: self.ledger.lost(job.frame.source, "queue"))
        # Not the members' own pool: there, the small work of finishing a frame would wait behind the next frame's members.
        self._helpers = Sharing(config.threads or processors())
        self.guard = _guard(config)
        results = ResultSocket(config.results, config.results_backlog, guard=self.guard if config.curve else None)
        self._traces = None if config.otel_endpoint is None else open_traces(str(config.otel_endpoint), config.otel_share, "engine")
        self.watch = DriftWatch(config.drift, config.quarantine, self._say_at_once)
        self.keeping = Keeping(config.ring_bytes, config.ring_frames, self.watch.watched, self.watch.known)
        traced = [] if self._traces is None else [frame_traces(self._traces)]
        self.afterwards = Afterwards([self.watch.see, self._compare], [*traced, self.keeping.keep])
        deadline = None if config.deadline_ms is None else Deadline(config.deadline_ms, config.deadline_order)
        tracks = TrackLinker(config.tracks) if config.tracks.enabled else None
        self.pipeline = Pipeline(results, self.ledger, self.timing, config.maps, self._helpers.each, self.afterwards.add, self.watch.doubts, tracks, deadline)
        self._max_pixels = config.max_pixels
        if spec.drift is not None:
            self.watch.restore(spec.drift, lambda sha256: ensemble.card.member_ids if sha256 == ensemble.bundle.sha256 else None)
        active = Active(ensemble, wanted.generation, states, wanted.selected)
        scans = None if config.strip_rows is None else Scans(self.intake.aside, lambda: (self.inference.active, self.inference.failures))
        self.inference = Inference(active, self.intake, self.pipeline, self.ledger, config, self._helpers.each, deadline, scans)
        offer = None if scans is None else scans.offer

        def receiving(endpoint: FramesEndpoint, slot: Slot[Job]) -> Receiving:
            read = reader_for(endpoint, config.max_pixels)
            guard = self.guard if config.curve_for(endpoint) else None
            socket = AskingSocket(endpoint) if endpoint.socket == "req" else FrameSocket(endpoint, guard=guard)
            return Receiving(socket, read, slot, config, self.ledger, self.pipeline.say_at_once, offer)

        self._receiving = list(map(receiving, config.frames, self.intake.frames))

    def start(self) -> None:
        """Start answering frames."""
        if self.guard is not None:
            self.guard.start()
        self.afterwards.start()
        self.pipeline.start()
        self.inference.start()
        for receiving in self._receiving:
            receiving.start()
        self.pipeline.say(Event("engine", time.time(), {"state": "started", "generation": self.inference.active.generation}))

    def stop(self) -> None:
        """Answer what is being worked on, then end; what comes after is refused, so that nobody waits for an answer for ever."""
        self.intake.close()
        if self.inference.scans is not None:
            self.inference.scans.close()
        for receiving in self._receiving:
            receiving.stop()
        self.inference.stop()
        while (left := self.intake.take(0)) is not None:
            if isinstance(left, Job):
                self.ledger.lost(left.frame.source, "queue")
                if left.done is not None:
                    left.done(Failure(left.frame.source, STOPPING, "the engine is being stopped", left.frame.session, left.frame.seq, time.time()))
            else:
                left()  # whoever waits for this change must not wait for ever
        self.pipeline.stop()
        self.afterwards.stop()
        self.keeping.close()
        if self._traces is not None:
            self._traces.close()
        if self.guard is not None:
            self.guard.close()
        self._helpers.close()
        self.staging.close()

    def stage(self, sha256: str, folder: Path) -> None:
        """Have an ensemble loaded, accepted and warm, wherever it is held; raises CommandRefused where it can't be."""
        if not self.inference.holds(sha256) and sha256 not in self.staging.keys:
            self.staging.stage(sha256, folder)

    def apply(self, wanted: Wanted, why: Mapping[str, str]) -> None:
        """Bring about a wanted state from the next frame on; returns once no older result can follow. Loads the ensemble where it has to."""
        before = self.inference.active
        if before.generation >= wanted.generation:
            return
        while True:
            loaded = self.staging.take(wanted.sha256)
            try:
                self.inference.apply(wanted, loaded).result()
                break
            except NotLoaded:
                self.staging.stage(wanted.sha256, wanted.folder)
        active = self.inference.active
        if active.generation != wanted.generation:
            return  # overtaken by a later change
        about = {"name": active.ensemble.card.name, "version": active.ensemble.card.version, "states": dict(wanted.states)}
        kind = "member" if before.ensemble is active.ensemble else "ensemble"
        self.pipeline.say(Event(kind, time.time(), {"generation": wanted.generation, **about, **why}))

    def set_candidate(self, sha256: str | None, folder: Path | None, why: Mapping[str, str]) -> None:
        """Have an ensemble run beside the live one, or none."""
        candidate = None
        if sha256 is not None and folder is not None:
            before = self.inference.candidate
            if before is not None and before.ensemble.bundle.sha256 == sha256:
                return
            ensemble = self.staging.take(sha256)
            while ensemble is None:
                self.staging.stage(sha256, folder)
                ensemble = self.staging.take(sha256)
            candidate = Candidate(ensemble, self._max_pixels)
        self.inference.set_candidate(candidate).result()
        self.pipeline.say(Event("ensemble", time.time(), {"candidate": None if candidate is None else candidate.about, **why}))

    def _say_at_once(self, event: Event) -> None:
        self.pipeline.say_at_once(event)

    def _compare(self, finished: Finished) -> None:
        run, candidate = None if finished.beside is None else finished.beside.result().candidate, self.inference.candidate
        if run is not None and candidate is not None and candidate.ensemble.card is run.card:
            candidate.compare(finished, run)


def _guard(config: Config) -> CurveGuard | None:
    """Who checks keys; None where no socket needs one."""
    if not config.needs_curve:
        return None
    folder = CurveFolder(config.state)
    return CurveGuard(folder.service_pair().secret, folder.clients)
