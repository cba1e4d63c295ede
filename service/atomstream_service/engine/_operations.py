"""The commands that the control plane may send, by name."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atomstream_models.analysis import member_map
from atomstream_models.runtime import runtime_report
from atomstream_wire import Failure, Frame

from ..members import MemberState
from ..transport import CommandRefused, Reply
from ._engine import Engine
from ._work import Finished, Job


class Operations:
    """Answers commands on the command line's threads. Each public method is a command of its name."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._report = runtime_report()
        self._requests = 0
        self._request_lock = threading.Lock()

    def __call__(self, operation: str, arguments: Mapping[str, Any], buffers: Sequence[Any]) -> Reply:
        call = {
            "status": self.status,
            "set_members": self.set_members,
            "stage": self.stage,
            "swap": self.swap,
            "drop": self.drop,
            "infer": self.infer,
            "latest": self.latest,
        }.get(operation)
        if call is None:
            raise CommandRefused("unknown_operation", f"there is no command {operation!r}")
        return call(arguments, buffers)

    def status(self, arguments: Mapping[str, Any], buffers: Sequence[Any]) -> Reply:
        """Everything that can be read off without disturbing a frame."""
        active = self._engine.inference.active
        ensemble = active.ensemble
        return Reply(
            {
                "pid": os.getpid(),
                "device": ensemble.device,
                "providers": list(ensemble.providers),
                "runtime": self._report.runtime,
                "ensemble": {
                    "name": ensemble.card.name,
                    "version": ensemble.card.version,
                    "sha256": ensemble.bundle.sha256,
                    "generation": active.generation,
                },
                "members": {member: {"state": state, "latency_ms": ensemble.last_ms.get(member)} for member, state in active.states.items()},
                "selected": active.selected,
                "busy_s": None if (since := self._engine.inference.busy_since) is None else time.monotonic() - since,
                "failures": dict(self._engine.inference.failures),
                "staged": self._engine.staging.keys,
                "streams": self._engine.ledger.summary(),
                "timing": self._engine.timing.summary(),
                "memory_bytes": _resident_bytes(),
                "flags": list(self._engine.pipeline.latest.report.flags) if self._engine.pipeline.latest else [],
            }
        )

    def set_members(self, arguments: Mapping[str, Any], buffers: Sequence[Any]) -> Reply:
        states = {member: MemberState(state) for member, state in arguments["states"].items()}
        self._engine.set_members(arguments["generation"], states, arguments["selected"], arguments["why"])
        return Reply({"generation": arguments["generation"]})

    def stage(self, arguments: Mapping[str, Any], buffers: Sequence[Any]) -> Reply:
        start = time.perf_counter()
        ensemble = self._engine.staging.stage(arguments["key"], Path(arguments["folder"]))
        return Reply(
            {
                "name": ensemble.card.name,
                "version": ensemble.card.version,
                "sha256": ensemble.bundle.sha256,
                "members": list(ensemble.card.member_ids),
                "device": ensemble.device,
                "seconds": time.perf_counter() - start,
            }
        )

    def swap(self, arguments: Mapping[str, Any], buffers: Sequence[Any]) -> Reply:
        states = {member: MemberState(state) for member, state in arguments["states"].items()}
        self._engine.swap(arguments["key"], arguments["generation"], states, arguments["selected"], arguments["why"])
        return Reply({"generation": arguments["generation"]})

    def drop(self, arguments: Mapping[str, Any], buffers: Sequence[Any]) -> Reply:
        self._engine.staging.take(arguments["key"]).close()
        return Reply({})

    def infer(self, arguments: Mapping[str, Any], buffers: Sequence[Any]) -> Reply:
        """One frame outside the stream; waits for its turn and its answer."""
        image = np.frombuffer(buffers[0], np.dtype(arguments["dtype"])).reshape(arguments["shape"])
        size = arguments["pixel_size_nm"]
        answered = threading.Event()
        answers: list[Finished | Failure] = []

        def done(answer: Finished | Failure) -> None:
            answers.append(answer)
            answered.set()

        with self._request_lock:
            self._requests += 1
            seq = self._requests
        frame = Frame({"frame": image}, "infer", seq, "infer", pixel_size=None if size is None else (size[0], size[1]))
        if not self._engine.intake.request(Job(frame, "frame", image, time.time(), time.perf_counter(), done)):
            raise CommandRefused("busy", "too many single frames wait already; try again")
        if not answered.wait(arguments["timeout_s"]):
            raise CommandRefused("timeout", f"the frame was not answered within {arguments['timeout_s']:g} s")
        answer = answers[0]
        if isinstance(answer, Failure):
            raise CommandRefused(answer.code, answer.message)
        names = ["atoms", "mean", "std"] if arguments["maps"] else ["atoms"]
        return _with_arrays(answer, {name: array for name in names if (array := _layer(answer, name)) is not None})

    def latest(self, arguments: Mapping[str, Any], buffers: Sequence[Any]) -> Reply:
        """The frame published last, with the layers asked for: frame, atoms, mean, std, member:ID."""
        finished = self._engine.pipeline.latest
        if finished is None:
            raise CommandRefused("no_frame", "no frame has been answered yet")
        layers = {name: _layer(finished, name) for name in arguments["layers"]}
        for name, array in layers.items():
            if array is None:
                raise CommandRefused("no_layer", f"the latest frame has no layer {name!r}; members used: {', '.join(finished.answer.members_used) or 'none'}")
        return _with_arrays(finished, {name: array for name, array in layers.items() if array is not None})


def _layer(finished: Finished, name: str) -> NDArray[Any] | None:
    if name.startswith("member:"):
        member = name.removeprefix("member:")
        inferred = finished.shadows.get(member, finished.inferred)
        return member_map(inferred, member) if member in inferred.members_used else None
    plain: dict[str, NDArray[Any] | None] = {
        "frame": finished.job.image,
        "atoms": finished.answer.atoms,
        "mean": finished.answer.mean,
        "std": finished.answer.std,
    }
    return plain.get(name)


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
