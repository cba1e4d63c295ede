"""What a refinement costs the live stream, and what it brings: `python benchmarks/refining.py [--only NAME] [--json FILE]`.

stream    256x256 frames as fast as they are answered, while a refinement trains and, in turn, while it is stopped; for several ways to hold it back
whole     a refinement on six frames of a movie that drifts out of what the shipped ensemble knows, with nothing beside it: minutes, F1 before and after
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atomstream_client import Atoms, FramePublisher, ResultSubscriber
from atomstream_models.bundle import Bundle, find_bundle, open_bundle
from atomstream_models.evaluation import Truth, evaluate, truth_of
from atomstream_models.runtime import load_ensemble, look
from atomstream_models.simulation import GRAPHENE_CONDITIONS, Exposure, MicroscopeFrame, SimulatedMicroscope, scan
from atomstream_service.demo import launched
from atomstream_service.refinements import FramesFile, Priority, RefinementParameters, RefinementRequest, Refinements, RefinementState
from atomstream_service.refinements._process import hold_back

Figures = dict[str, Any]
SHAPE = (256, 256)
MILD, DRIFT, SEVERITY = 8, 24, 1.8
"""The movie: frames before the drift and in it, and how far it goes; 1 is as hard as what the ensemble was trained for."""
LEARNED_FROM = range(20, 26)
VARIANTS: dict[str, tuple[Priority, int]] = {
    "idle, 1 core": ("idle", 1),
    "idle, 2 cores": ("idle", 2),
    "low, 1 core": ("low", 1),
    "low, 2 cores": ("low", 2),
    "normal, 1 core": ("normal", 1),
    "normal, 2 cores": ("normal", 2),
}
_IN_FLIGHT = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("stream", "whole"))
    parser.add_argument("--variant", choices=VARIANTS, action="append", help="how a refinement is held back (all)")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--frames", type=int, default=5, help="frames of one measurement")
    parser.add_argument("--seed", type=int, default=20, help="of the movie")
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args()
    figures: Figures = {"date": datetime.now(UTC).strftime("%Y-%m-%d"), "processors": len(os.sched_getaffinity(0)), "load": os.getloadavg()}
    frames = movie(given.seed)
    with tempfile.TemporaryDirectory(prefix="atomstream-bench-") as name:
        folder = Path(name)
        file = folder / "movie.npz"
        np.savez(file, images=np.stack([frame.image for frame in frames]), pixel_size_nm=frames[0].pixel_nm)
        if given.only != "whole":
            figures["stream"] = stream(folder, file, given.variant or list(VARIANTS), given.rounds, given.frames)
        if given.only != "stream":
            figures["whole"] = whole(folder, file, frames)
            print(json.dumps({"whole": figures["whole"]}, indent=2), flush=True)
    if given.json is not None:
        given.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def movie(seed: int) -> list[MicroscopeFrame]:
    """Graphene under a microscope that drifts on and on."""
    microscope, rng = SimulatedMicroscope(seed, SHAPE, mild=MILD, drift=DRIFT), np.random.default_rng(seed)
    frames = []
    for k in range(MILD + DRIFT):
        frame, severity = microscope.next_frame(), max(0.0, SEVERITY * (k - MILD + 1) / DRIFT)
        imaging = GRAPHENE_CONDITIONS.imaging(severity, frame.pixel_nm, SHAPE)
        frames.append(scan(Exposure(frame.exposure.specimen, imaging, GRAPHENE_CONDITIONS.noise(severity)), rng))
    return frames


def stream(folder: Path, file: Path, variants: Sequence[str], rounds: int, frames: int) -> Figures:
    """Throughput and latency with a refinement against without, for each variant."""
    images = [frame.image for frame in movie(7)[:4]]
    config = 'warm_shapes = [[256, 256]]\n[[frames]]\npolicy = "queue"\ndepth = 8\n'
    found: Figures = {}
    with launched(folder / "state", config=config) as service, Microscope(service.frames, service.results, images) as microscope:
        microscope.latencies_ms(frames)
        for variant in variants:
            found[variant] = _variant(folder / variant.replace(", ", "-").replace(" ", "-"), file, VARIANTS[variant], microscope, rounds, frames)
            print(json.dumps({variant: found[variant]}), flush=True)
    return found


def _variant(folder: Path, file: Path, how: tuple[Priority, int], microscope: Microscope, rounds: int, frames: int) -> Figures:
    priority, cores = how
    # Held back only once it trains: on a busy machine an idle process takes long to begin.
    refinements = Refinements(folder, cores=cores, priority="normal")
    endless = RefinementParameters(steps=20_000, settings={"training.validate_every": 10, "training.checkpoint_every": 10})
    request = RefinementRequest(frames=FramesFile(path=file, frames=tuple(LEARNED_FROM)), parameters=endless)
    job = refinements.start(request, find_bundle("graphene", folder).absolute(), "bench")
    next(event for event in refinements.follow(job.id, beat_s=1.0) if event is not None and event.step is not None)
    for pid in _group(folder / job.id):
        hold_back(pid, priority)
    began = time.monotonic()
    latencies: dict[bool, list[float]] = {True: [], False: []}
    rates: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(rounds):
        # Short and in turns, because what else disturbs the machine changes within seconds.
        with _stopped(folder / job.id):
            latencies[False] += microscope.latencies_ms(frames)
            rates[False].append(microscope.rate(frames))
        latencies[True] += microscope.latencies_ms(frames)
        rates[True].append(microscope.rate(frames))
    minutes = (time.monotonic() - began) / 60
    refinements.cancel(job.id)
    steps = _steps(folder / job.id)
    refinements.close()
    latency, rate = ([round(statistics.median(kept[beside]), 2) for beside in (False, True)] for kept in (latencies, rates))
    return {
        "latency_ms_without_and_beside": latency,
        "frames_a_second_without_and_beside": rate,
        "latency_ratio": round(latency[1] / latency[0], 3),
        "rate_ratio": round(rate[1] / rate[0], 3),
        "rate_ratio_of_each_round": [round(b / a, 3) for a, b in zip(rates[False], rates[True], strict=True)],
        "minutes": round(minutes, 2),
        "training_steps_meanwhile": steps,
    }


class Microscope:
    """Sends frames to a service, as fast as they are answered."""

    def __init__(self, frames: str, results: str, images: list[NDArray[np.uint16]]) -> None:
        self._publisher = FramePublisher("bench", frames, queue=16)
        self._subscriber = ResultSubscriber(results, kinds=("atoms",))
        self._images = images
        self._sent = 0

    def __enter__(self) -> Microscope:
        if not self._publisher.wait_for_reader():
            raise RuntimeError("the service does not listen")
        time.sleep(0.3)
        return self

    def __exit__(self, *_: object) -> None:
        self._publisher.close()
        self._subscriber.close()

    def latencies_ms(self, frames: int) -> list[float]:
        """Of frames that are sent one at a time."""
        found = []
        for _ in range(frames):
            begun = time.perf_counter()
            self._send()
            self._take()
            found.append(1000 * (time.perf_counter() - begun))
        return found

    def rate(self, frames: int) -> float:
        """Frames answered a second, with several under way."""
        for _ in range(_IN_FLIGHT):
            self._send()
        self._take()
        begun = time.perf_counter()
        for _ in range(frames):
            self._send()
            self._take()
        rate = frames / (time.perf_counter() - begun)
        for _ in range(_IN_FLIGHT - 1):
            self._take()
        return rate

    def _send(self) -> None:
        self._publisher.publish(self._images[self._sent % len(self._images)], frame=self._sent, pixel_size=(0.0104, 0.0104))
        self._sent += 1

    def _take(self) -> None:
        if not isinstance(self._subscriber.receive(30), Atoms):
            raise RuntimeError("a frame was not answered within 30 s")


@contextmanager
def _stopped(folder: Path) -> Iterator[None]:
    """The refinement in a folder stands still."""
    os.killpg(_leader(folder), signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(_leader(folder), signal.SIGCONT)


def _leader(folder: Path) -> int:
    return int(json.loads((folder / "state.json").read_text(encoding="utf-8"))["pid"])


def _group(folder: Path) -> list[int]:
    """All processes of the refinement in a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                if os.getpgid(int(entry.name)) == _leader(folder):
                    found.append(int(entry.name))
    return found


def _steps(folder: Path) -> int:
    """Gradient steps of all members since the first that was told of."""
    told: list[dict[str, Any]] = [json.loads(line) for line in (folder / "progress.jsonl").read_text(encoding="utf-8").splitlines()]
    steps: list[tuple[int, int]] = [(one["member"], one["step"]) for one in told if one["step"] is not None]
    return sum(dict(steps).values()) - steps[0][1]


def whole(folder: Path, file: Path, frames: list[MicroscopeFrame]) -> Figures:
    """A refinement with default parameters, alone, and what it brings on frames that it did not see."""
    parent = open_bundle(find_bundle("graphene", folder))
    # Alone it gets the same at any priority, except that what disturbs a shared machine must not starve it.
    refinements = Refinements(folder / "whole", cores=2, priority="normal")
    request = RefinementRequest(frames=FramesFile(path=file, frames=tuple(LEARNED_FROM)), reason="benchmark")
    begun = time.monotonic()
    job = refinements.start(request, parent.folder, "bench")
    for _ in refinements.follow(job.id):
        pass
    minutes = (time.monotonic() - begun) / 60
    job = refinements.get(job.id)
    if job.state is not RefinementState.DONE or job.bundle is None:
        raise RuntimeError(f"the refinement is {job.state}: {job.error}")
    refined = open_bundle(job.bundle)
    before, after = f1(parent, frames), f1(refined, frames)
    refinements.close()
    parts: dict[str, Callable[[int], bool]] = {
        "mild": lambda k: k < MILD,
        "learned_from": lambda k: k in LEARNED_FROM,
        "later": lambda k: k > max(LEARNED_FROM),
    }
    mean = {name: [round(statistics.mean(one[k] for k in range(len(frames)) if of(k)), 4) for one in (before, after)] for name, of in parts.items()}
    return {"minutes": round(minutes, 2), "labels": refined.card.training["atoms"], "f1_before_and_after": mean, "f1_before": before, "f1_after": after}


def f1(bundle: Bundle, frames: Sequence[MicroscopeFrame]) -> list[float]:
    """F1 of a bundle's ensemble on each frame, whatever the classes."""
    truths = {k: Truth(one.atoms_yx, one.required, one.match_px, None, one.pixel_nm) for k, one in enumerate(map(truth_of, frames))}
    ensemble = load_ensemble(bundle)
    inferred = list(look(ensemble, [frame.image for frame in frames], frames[0].pixel_nm))
    ensemble.close()
    judged = evaluate(enumerate(inferred), bundle.card, truths, pixel_nm=frames[0].pixel_nm)
    return [round(one.overall.f1, 4) for one in judged.frames if one.overall is not None]


if __name__ == "__main__":
    main()
