"""Fifty activations under a stream at full rate: `python benchmarks/activations.py [--device cuda] [--json FILE]`.

Two bundles take turns as the live ensemble of a real service while frames come as fast as they are answered. Counted: frames that were not
answered, results whose checksum, generation and members do not belong together, the longest pause between results against the median one,
and the engine's memory after 50 activations against after 5, and where there is a GPU, the memory in use there.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx

from atomstream_client import Atoms, Failure, FramePublisher, ResultSubscriber
from atomstream_models.bundle import Bundle, find_bundle, open_bundle, pack
from atomstream_models.runtime import Device
from atomstream_models.simulation import SimulatedMicroscope
from atomstream_service.bench import gpu_used_bytes, this_machine
from atomstream_service.demo import launched

_EARLY = 5
_TRIAL, _BETWEEN = 2, 6
"""Frames of a trial, after which the ensemble before is let go, and frames between two activations."""
_RING = 20
"""Frames that the ring of the last ones holds: it is full before the fifth activation, so that its filling is not taken for growth."""


class _Stream(threading.Thread):
    """Sends the next frame as soon as the last one is answered, and notes what came when."""

    def __init__(self, publisher: FramePublisher, results: ResultSubscriber, side: int) -> None:
        super().__init__()
        microscope = SimulatedMicroscope(7, (side, side))
        self._images = [microscope.next_frame().image for _ in range(4)]
        self._publisher, self._results = publisher, results
        self.answers: list[tuple[float, Atoms]] = []
        self.unanswered = 0
        self.failed = 0
        self.ending = threading.Event()

    def run(self) -> None:
        sent = 0
        while not self.ending.is_set():
            self._publisher.publish(self._images[sent % 4], frame=sent, pixel_size=(0.014, 0.014))
            self.unanswered += not self._answered(sent)
            sent += 1

    def _answered(self, frame: int) -> bool:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            result = self._results.receive(0.1)
            self.failed += isinstance(result, Failure)
            if isinstance(result, Atoms):
                self.answers.append((time.perf_counter(), result))
                if result.report.frame == frame:
                    return True
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--activations", type=int, default=50)
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--side", type=int, default=256, help="rows and columns of a frame (256)")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = _measure(Path(folder), given.activations, given.side, given.device)
    text = json.dumps(figures, indent=2)
    print(text)
    if given.json is not None:
        given.json.write_text(text + "\n", encoding="utf-8")


def _measure(folder: Path, activations: int, side: int, device: Device) -> dict[str, Any]:
    bundles = {name: open_bundle(find_bundle(name, folder)) for name in ("graphene", "perovskite")}
    pack(bundles["perovskite"].folder, folder / "perovskite.atomstream")
    memory: list[float] = []
    on_gpu: list[float] = []
    loading = []
    config = f'device = "{device}"\nwarm_shapes = [[{side}, {side}]]\ntrial_frames = {_TRIAL}\nring_frames = {_RING}\n'
    with (
        launched(folder / "state", config=config) as service,
        httpx.Client(base_url=service.url, timeout=300) as http,
        FramePublisher("bench", service.frames) as publisher,
        ResultSubscriber(service.results, kinds=("atoms", "error")) as results,
    ):
        http.post("/v1/ensembles", content=(folder / "perovskite.atomstream").read_bytes()).raise_for_status()
        if not publisher.wait_for_reader():
            sys.exit("the service does not listen")
        time.sleep(0.3)
        stream = _Stream(publisher, results, side)
        stream.start()
        _wait_for(stream, 20)
        quiet = _pauses(stream)
        for k in range(activations):
            card = bundles["perovskite" if k % 2 == 0 else "graphene"].card
            done = http.post(f"/v1/ensembles/{card.name}/{card.version}/activate", json={"reason": f"activation {k + 1}"})
            done.raise_for_status()
            loading.append(done.json()["load_s"])
            _wait_for(stream, len(stream.answers) + _BETWEEN)
            memory.append(http.get("/v1/status").json()["memory_bytes"])
            if (used := gpu_used_bytes()) is not None:
                on_gpu.append(used)
        stream.ending.set()
        stream.join()
    pauses = _pauses(stream)
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": this_machine().as_json(),
        "device": device,
        "activations": activations,
        "side": side,
        "frames": len(stream.answers),
        "unanswered": stream.unanswered,
        "failed": stream.failed,
        "inconsistent": sum(_is_inconsistent(one, bundles) for _, one in stream.answers),
        "out_of_order": sum(a.report.ensemble.generation > b.report.ensemble.generation for (_, a), (_, b) in pairwise(stream.answers)),
        "pause_s": {"median_without": statistics.median(quiet), "median": statistics.median(pauses), "longest": max(pauses)},
        "load_s": {"median": statistics.median(loading), "longest": max(loading)},
        "memory_mb": {"after_5": memory[_EARLY - 1] / 1e6, "at_end": memory[-1] / 1e6, "each": _told(memory)},
        "memory_ratio": _growth(memory),
        "gpu_memory_mb": _told(on_gpu),
        "gpu_memory_ratio": _growth(on_gpu) if on_gpu else None,
    }


def _growth(memory: Sequence[float]) -> float:
    return statistics.median(memory[-4:]) / statistics.median(memory[_EARLY - 2 : _EARLY + 2])


def _told(memory: Sequence[float]) -> list[int]:
    return [round(one / 1e6) for one in memory]


def _is_inconsistent(answer: Atoms, bundles: Mapping[str, Bundle]) -> bool:
    bundle = bundles[answer.report.ensemble.name]
    return answer.report.ensemble.sha256 != bundle.sha256 or answer.report.members_used != bundle.card.member_ids


def _pauses(stream: _Stream) -> list[float]:
    times = [t for t, _ in stream.answers]
    return [b - a for a, b in pairwise(times)]


def _wait_for(stream: _Stream, count: int) -> None:
    deadline = time.monotonic() + 120
    while len(stream.answers) < count:
        if time.monotonic() > deadline:
            sys.exit(f"{len(stream.answers)} of {count} frames answered")
        time.sleep(0.01)


if __name__ == "__main__":
    main()
