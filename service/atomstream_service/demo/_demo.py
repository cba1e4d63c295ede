"""`atomstream demo`."""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from atomstream_client import Atoms, Failure, FramePublisher, ResultSubscriber
from atomstream_models.metrics import score
from atomstream_models.simulation import MicroscopeFrame, SimulatedMicroscope, labelled

from ..errors import AtomstreamError
from ._launch import Launched, launched

MATCH = 0.35
"""A found atom is right within this share of the nearest-neighbour distance."""

_SOURCE = "demo/microscope"
_ANSWER_S = 60.0
_STAY_PACE_S = 0.5


class DemoFailed(AtomstreamError):
    """A frame was not answered."""


def run_demo(*, count: int, seed: int, stay: bool, headless: bool, json_file: Path | None) -> None:
    """Stream `count` simulated frames through a service of its own, taking one member out half-way.

    Raises
    ------
    DemoFailed
        when a frame is not answered.
    """
    console = Console(force_terminal=False if headless else None)
    microscope = SimulatedMicroscope(seed)
    with tempfile.TemporaryDirectory(prefix="atomstream-demo-") as folder:
        console.print("starting a service with the ensemble 'graphene' ...")
        with launched(Path(folder) / "state") as service, _connected(service) as (publisher, subscriber):
            engine = service.control().status()["engine"]
            console.print(f"it runs on {engine['device']}; {service.url}/docs, {service.url}/v1/frames/latest.png?layer=atoms")
            if not headless:
                webbrowser.open(f"{service.url}/v1/frames/latest.png?layer=atoms")
            frames = list(_stream(service, publisher, subscriber, microscope, count, console))
            _conclude(frames, console)
            if json_file is not None:
                json_file.write_text(json.dumps({"seed": seed, "engine": engine, "frames": frames}, indent=2) + "\n", encoding="utf-8")
            if stay:
                console.print("staying; interrupt to end")
                with contextlib.suppress(KeyboardInterrupt):
                    while True:
                        _answer(publisher, subscriber, microscope.next_frame(), len(frames))
                        time.sleep(_STAY_PACE_S)


@contextlib.contextmanager
def _connected(service: Launched) -> Iterator[tuple[FramePublisher, ResultSubscriber]]:
    with FramePublisher(_SOURCE, service.frames) as publisher, ResultSubscriber(service.results, kinds=("atoms", "error")) as subscriber:
        if not publisher.wait_for_reader():
            raise DemoFailed(f"the service does not listen at {service.frames}")
        yield publisher, subscriber


def _stream(
    service: Launched, publisher: FramePublisher, subscriber: ResultSubscriber, microscope: SimulatedMicroscope, count: int, console: Console
) -> Iterator[dict[str, Any]]:
    console.print(f"{'frame':>5} {'atoms':>6} {'F1':>7} {'RMSE px':>8} {'ms':>7}  members")
    for k in range(count):
        if k and k == count // 2:
            out = service.control("demo").members()["members"][0]["id"]
            generation = service.control("demo").set_member(out, "disabled", "shown by the demo")
            console.print(f"      {out} taken out over REST, holds from generation {generation}")
        truth = microscope.next_frame()
        result = _answer(publisher, subscriber, truth, k)
        figures = _figures(k, result, truth)
        console.print(
            f"{k:>5} {figures['atoms']:>6} {figures['f1']:>7.4f} {figures['rmse_px']:>8.3f} {figures['latency_ms']:>7.1f}  {len(figures['members_used'])}"
        )
        yield figures


def _answer(publisher: FramePublisher, subscriber: ResultSubscriber, truth: MicroscopeFrame, k: int) -> Atoms:
    publisher.publish(truth.image, frame=k, pixel_size=(truth.pixel_nm, truth.pixel_nm), t_end=time.time())
    deadline = time.monotonic() + _ANSWER_S
    while time.monotonic() < deadline:
        result = subscriber.receive(1.0)
        if isinstance(result, Failure):
            raise DemoFailed(f"frame {k} failed: {result.message}")
        if isinstance(result, Atoms) and result.report.frame == k:
            return result
    raise DemoFailed(f"frame {k} was not answered within {_ANSWER_S:g} s")


def _figures(k: int, result: Atoms, truth: MicroscopeFrame) -> dict[str, Any]:
    found = score(result.atoms[:, :2], truth.atoms_yx, MATCH * truth.neighbour_px, labelled(truth))
    return {
        "frame": k,
        "atoms": len(result.atoms),
        "f1": found.f1,
        "rmse_px": found.rmse_px,
        "rmse_neighbour": found.rmse_px / truth.neighbour_px,
        "latency_ms": result.report.latency_ms["total"],
        "members_used": list(result.report.members_used),
        "generation": result.report.ensemble.generation,
        "flags": list(result.report.flags),
    }


def _conclude(frames: list[dict[str, Any]], console: Console) -> None:
    mild = frames[:8]
    if mild:
        f1 = sum(one["f1"] for one in mild) / len(mild)
        error = sum(one["rmse_neighbour"] for one in mild) / len(mild)
        console.print(f"first {len(mild)} frames: mean F1 {f1:.4f} at {MATCH} nearest-neighbour distance, localisation error {error:.4f} of that distance")
