"""The engine's parts put together."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from atomstream_models.runtime import processors
from atomstream_wire import Event

from ..members import MemberState
from ..transport import FrameSocket, ResultSocket
from ._inference import Inference
from ._intake import Intake
from ._ledger import Ledger
from ._publishing import Pipeline
from ._receiving import Receiving
from ._spec import EngineSpec
from ._staging import Staging
from ._timing import Timing
from ._work import Active, Job

_MOST_REQUESTS = 8


class Engine:
    """Frames in, results out, from `start` to `stop`.

    Raises
    ------
    BundleError, LoadError
        where the ensemble can't be used.
    AddressUnusable
        where a socket can't be bound or connected.
    """

    def __init__(self, spec: EngineSpec) -> None:
        config = spec.config
        self.staging = Staging(config.device, config.threads, config.warm_shapes)
        ensemble = self.staging.load(spec.bundle)
        states = {member: MemberState(spec.states.get(member, MemberState.ENABLED)) for member in ensemble.card.member_ids}
        self.ledger = Ledger()
        self.timing = Timing()
        self.intake: Intake[Job] = Intake(config.frames, _MOST_REQUESTS, lambda job: self.ledger.lost(job.frame.source, "queue"))
        # Not the members' own pool: there, the small work of finishing a frame would wait behind the next frame's members.
        self._helpers = ThreadPoolExecutor(config.threads or processors(), thread_name_prefix="helper")
        results = ResultSocket(config.results, config.results_backlog)
        self.pipeline = Pipeline(results, self.ledger, self.timing, config.maps, self._helpers.map)
        active = Active(ensemble, spec.generation, states, spec.selected)
        self.inference = Inference(active, self.intake, self.pipeline, self.ledger, config, self._helpers.map)
        self._receiving = [
            Receiving(FrameSocket(endpoint), slot, config, self.ledger, self.pipeline.say_at_once)
            for endpoint, slot in zip(config.frames, self.intake.frames, strict=True)
        ]

    def start(self) -> None:
        """Start answering frames."""
        self.pipeline.start()
        self.inference.start()
        for receiving in self._receiving:
            receiving.start()
        self.pipeline.say(Event("engine", time.time(), {"state": "started", "generation": self.inference.active.generation}))

    def stop(self) -> None:
        """Answer what is being worked on, then end."""
        self.intake.close()
        for receiving in self._receiving:
            receiving.stop()
        self.inference.stop()
        while (left := self.intake.take(0)) is not None:
            if isinstance(left, Job):
                self.ledger.lost(left.frame.source, "queue")
            else:
                left()  # whoever waits for this change must not wait for ever
        self.pipeline.stop()
        self._helpers.shutdown()
        self.inference.active.ensemble.close()

    def set_members(self, generation: int, states: Mapping[str, MemberState], selected: bool, why: Mapping[str, str]) -> None:
        """Change member states from the next frame on; returns once no older result can follow."""
        if self.inference.active.generation == generation:
            return

        def update(before: Active) -> Active:
            return Active(before.ensemble, generation, {**before.states, **states}, selected)

        self._change(update, "member", {"generation": generation, "states": dict(states), **why})

    def swap(self, key: str, generation: int, states: Mapping[str, MemberState], selected: bool, why: Mapping[str, str]) -> None:
        """Make a staged ensemble the live one from the next frame on, and free the old one."""
        ensemble = self.staging.take(key)
        full = {member: states.get(member, MemberState.ENABLED) for member in ensemble.card.member_ids}
        body = {"generation": generation, "name": ensemble.card.name, "version": ensemble.card.version, **why}
        before = self._change(lambda _: Active(ensemble, generation, full, selected), "ensemble", body)
        before.ensemble.close()

    def _change(self, update: Callable[[Active], Active], kind: str, body: Mapping[str, object]) -> Active:
        before = self.inference.change(update).result()
        self.pipeline.say(Event(kind, time.time(), body))
        return before
