"""The commands that the control plane may send, by name."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atomstream_models.analysis import member_map
from atomstream_models.recording import RecordedFrame
from atomstream_wire import Frame

from ..drift_settings import DriftSettings, QuarantineSettings
from ..orders import View, Wanted
from ..transport import CommandRefused, Reply
from ._again import Again
from ._engine import Engine
from ._requests import answer_one
from ._views import Shown, viewed
from ._work import Finished

log = logging.getLogger(__name__)

_CATCH_UP_S = 10.0
_TAKEN_S = 30.0
"""For a recorder that ends to take what it was handed."""


class Operations:
    """Answers commands on the command line's threads. Each public method is a command of its name."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._requests = 0
        self._again = Again(engine.intake, lambda: engine.inference.active)
        self._request_lock = threading.Lock()

    def __call__(self, operation: str, arguments: Mapping[str, Any], buffers: Sequence[Any]) -> Reply:
        call = {
            "status": self.status,
            "stage": self.stage,
            "drop": self.drop,
            "apply": self.apply,
            "set_candidate": self.set_candidate,
            "drift": self.drift,
            "acknowledge": self.acknowledge,
            "watch": self.watch,
            "record": self.record,
            "unrecord": self.unrecord,
            "ring": self.ring,
            "infer": self.infer,
            "latest": self.latest,
            "next": self.next,
            "view": self.view,
        }.get(operation)
        if call is None:
            raise CommandRefused("unknown_operation", f"there is no command {operation!r}")
        return call(arguments, buffers)

    def status(self, arguments: Mapping[str, Any], buffers: Sequence[Any]) -> Reply:
        """Everything that can be read off without disturbing a frame."""
        inference = self._engine.inference
        active, trial, reverted, candidate = inference.active, inference.trial, inference.reverted, inference.candidate
        ensemble = active.ensemble
        return Reply(
            {
                "pid": os.getpid(),
                "device": ensemble.device,
                "providers": list(ensemble.providers),
                "runtime": ensemble.answering.runtime,
                "bits": ensemble.answering.bits,
                "choice": None if ensemble.choice is None else ensemble.choice.as_json(),
                "races": self._engine.races.as_json(),
                "upgrade": ensemble.upgrade_as_json(),
                "ensemble": asdict(active.label),
                "trial": None if trial is None else {"frames_left": trial.frames_left, "last_good": asdict(trial.last_good.label)},
                "reverted": None if reverted is None else asdict(reverted),
                "candidate": None if candidate is None else candidate.summary(),
                "members": {member: {"state": state, "latency_ms": ensemble.last_ms.get(member)} for member, state in active.states.items()},
                "selected": active.selected,
                "busy_s": None if (since := inference.busy_since) is None else time.monotonic() - since,
                "failures": dict(inference.failures),
                "staged": self._engine.staging.keys,
                "streams": self._engine.ledger.summary(),
                "tracks": None if (tracks := self._engine.pipeline.tracks) is None else asdict(tracks.summary),
                "timing": self._engine.timing.summary(),
                "deadline": None if inference.deadline is None else inference.deadline.summary(),
                "scans": None if inference.scans is None else inference.scans.summary(),
                "unwatched": self._engine.afterwards.skipped,
                "failed_after": self._engine.afterwards.failed,
                "refused": None if (guard := self._engine.guard) is None else guard.refused(),
                "memory_bytes": _resident_bytes(),
                "flags": list(latest.report.flags) if (latest := self._engine.pipeline.latest.frame) else [],
            }
        )

    def stage(self, arguments: Mapping[str, Any], buffers: Sequence[Any]) -> Reply:
        start = time.perf_counter()
        self._engine.stage(arguments["sha256"], Path(arguments["folder"]))
        return Reply({"seconds": time.perf_counter() - start})

    def drop(self, arguments: Mapping[str, Any], buffers: Sequence[Any]) -> Reply:
        """Let go of a staged ensemble that did not become live."""
        if (left := self._engine.staging.take(arguments["sha256"])) is not None:
            left.close()
        return Reply({})

    def apply(self, arguments: Mapping[str, Any], buffers: Sequence[Any]) -> Reply:
        self._engine.apply(Wanted.model_validate(arguments["wanted"]), arguments["why"])
        return Reply({})

    def set_candidate(self, arguments: Mapping[str, Any], buffers: Sequence[Any]) -> Reply:
        folder = arguments["folder"]
        self._engine.set_candidate(arguments["sha256"], None if folder is None else Path(folder), arguments["why"])
        return Reply({})

    def drift(self, arguments: Mapping[str, Any], buffers: Sequence[Any]) -> Reply:
        """How drift stands, and the alarms and decisions after one, once there are some; with everything that is known, if asked for."""
        told = self._engine.watch.after(arguments["after"], arguments["wait_s"])
        return Reply({**told, "state": self._engine.watch.as_json()} if arguments["state"] else told)

    def acknowledge(self, arguments: Mapping[str, Any], buffers: Sequence[Any]) -> Reply:
        return Reply({"released": self._engine.watch.acknowledge(arguments["subject"], arguments["source"])})

    def watch(self, arguments: Mapping[str, Any], buffers: Sequence[Any]) -> Reply:
        """Watch for drift, and decide about members, in another way."""
        self._engine.watch.change(DriftSettings.model_validate(arguments["settings"]), QuarantineSettings.model_validate(arguments["quarantine"]))
        return Reply({})

    def record(self, arguments: Mapping[str, Any], buffers: Sequence[Any]) -> Reply:
        """Feed a recorder with frames of the ring, or those that come, or both; how many of the ring.

        Frames whose results have gone out already are in the ring; those that go out later follow where `live` is asked for.
        """
        self._catch_up()
        name, endpoint, ring = arguments["name"], arguments["endpoint"], arguments["ring"]
        active = self._engine.inference.active
        if arguments["live"]:
            return Reply({"frames": self._engine.keeping.start(name, endpoint, arguments["maps"], active, ring)})
        return Reply({"frames": self._engine.keeping.copy_ring(endpoint, ring, active)})

    def unrecord(self, arguments: Mapping[str, Any], buffers: Sequence[Any]) -> Reply:
        """Stop feeding a recorder; frames whose results have gone out already are still handed over."""
        self._catch_up()
        return Reply(self._engine.keeping.stop(arguments["name"], arguments["endpoint"], _TAKEN_S))

    def ring(self, arguments: Mapping[str, Any], buffers: Sequence[Any]) -> Reply:
        return Reply(self._engine.keeping.summary())

    def infer(self, arguments: Mapping[str, Any], buffers: Sequence[Any]) -> Reply:
        """One frame outside the stream; waits for its turn and its answer."""
        image = np.frombuffer(buffers[0], np.dtype(arguments["dtype"])).reshape(arguments["shape"])
        size = arguments["pixel_size_nm"]
        with self._request_lock:
            self._requests += 1
            seq = self._requests
        frame = Frame({"frame": image}, "infer", seq, "infer", pixel_size=None if size is None else (size[0], size[1]))
        answer = answer_one(self._engine.intake, frame, "frame", image, arguments["timeout_s"])
        names = ["atoms", "mean", "std"] if arguments["maps"] else ["atoms"]
        return _with_arrays(answer, {name: array for name in names if (array := _layer(answer, name)) is not None})

    def latest(self, arguments: Mapping[str, Any], buffers: Sequence[Any]) -> Reply:
        """The frame published last, with the layers asked for: frame, atoms, mean, std, member:ID."""
        finished = self._latest()
        layers = {name: _layer(finished, name) for name in arguments["layers"]}
        for name, array in layers.items():
            if array is None:
                raise CommandRefused("no_layer", f"the latest frame has no layer {name!r}; members used: {', '.join(finished.answer.members_used) or 'none'}")
        return _with_arrays(finished, {name: array for name, array in layers.items() if array is not None})

    def next(self, arguments: Mapping[str, Any], buffers: Sequence[Any]) -> Reply:
        """How many frames have been published, once that is another number than the one given, or the time is over."""
        return Reply({"number": self._engine.pipeline.latest.other_than(arguments["number"], arguments["wait_s"])})

    def view(self, arguments: Mapping[str, Any], buffers: Sequence[Any]) -> Reply:
        """The frame published last as a page shows it, or one of the ring by its session and seq."""
        view, wanted = View.model_validate(arguments["view"]), arguments["frame"]
        finished = self._latest()
        if wanted is None or wanted == [finished.report.session, finished.report.seq]:
            return viewed(view, _shown(finished))
        session, seq = wanted
        ring = self._engine.keeping.ring
        found = ring.select(frames=[(session, seq)])
        if not found and self._engine.afterwards.catch_up(_CATCH_UP_S):
            found = ring.select(frames=[(session, seq)])  # one that went out a moment ago
        if not found:
            raise CommandRefused("no_frame", f"frame {seq} of session {session} is no longer in the ring")
        return viewed(view, self._kept(found[0], view.needs_maps))

    def _kept(self, kept: RecordedFrame, with_maps: bool) -> Shown:
        """A frame of the ring as it was answered; where maps of it are wanted and the members have changed since, as they answer it now."""
        image = kept.frame.channels[kept.report.channel]
        was = Shown(kept.report, kept.atoms, lambda name: image if name == "frame" else None)
        if not with_maps:
            return was
        try:
            again = self._again.answered(kept)
        except CommandRefused as error:
            return replace(was, no_maps=str(error))
        now = _shown(again)
        if (again.report.ensemble, again.report.members_used) == (kept.report.ensemble, kept.report.members_used):
            return replace(now, report=kept.report, atoms=kept.atoms)
        return replace(now, report=replace(again.report, t_recv=kept.report.t_recv, t_done=kept.report.t_done), again=True)

    def _latest(self) -> Finished:
        finished = self._engine.pipeline.latest.frame
        if finished is None:
            raise CommandRefused("no_frame", "no frame has been answered yet")
        return finished

    def _catch_up(self) -> None:
        """Wait until frames whose atoms have gone out have been kept, also those whose maps are still being sent."""
        deadline = time.monotonic() + _CATCH_UP_S
        if not (self._engine.pipeline.catch_up(_CATCH_UP_S) and self._engine.afterwards.catch_up(deadline - time.monotonic())):
            log.warning("frames that have been answered are not all kept after %g s; a recording may begin or end without the last ones", _CATCH_UP_S)


def _layer(finished: Finished, name: str) -> NDArray[Any] | None:
    if name.startswith("member:"):
        member = name.removeprefix("member:")
        ran = [one for one in (finished.inferred, finished.shadows()) if one is not None and member in one.members_used]
        return member_map(ran[0], member) if ran else None
    plain: dict[str, NDArray[Any] | None] = {
        "frame": finished.job.image,
        "atoms": finished.answer.atoms,
        "mean": finished.answer.mean,
        "std": finished.answer.std,
    }
    return plain.get(name)


def _shown(finished: Finished) -> Shown:
    seen = dict(zip(finished.answer.members_used, finished.answer.seen, strict=True))
    return Shown(finished.report, finished.answer.atoms, lambda name: _layer(finished, name), seen)


def _with_arrays(finished: Finished, arrays: Mapping[str, NDArray[Any]]) -> Reply:
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    described = [{"name": name, "dtype": array.dtype.str, "shape": list(array.shape)} for name, array in contiguous.items()]
    return Reply({"report": finished.report.as_json(), "arrays": described}, list(contiguous.values()))


def _resident_bytes() -> int | None:
    """This process's memory; None where the system does not tell."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return None
