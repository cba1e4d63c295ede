"""`atomstream demo`."""

from __future__ import annotations

import contextlib
import json
import math
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from atomstream_client import Atoms, Failure, FramePublisher, ResultSubscriber
from atomstream_models.evaluation import MATCH
from atomstream_models.metrics import score
from atomstream_models.simulation import Material, MicroscopeFrame, SimulatedMicroscope, labelled

from ..errors import AtomstreamError
from ._launch import Launched, launched
from ._report import write_report
from ._table import Show, table

BUNDLES: dict[Material, str] = {"graphene": "graphene", "perovskite": "perovskite", "rock-salt": "perovskite"}
"""The materials that the demo can show, each with the shipped ensemble that knows it."""

_SOURCE = "demo/microscope"
_ANSWER_S = 60.0
_STAY_PACE_S = 0.5


class DemoFailed(AtomstreamError):
    """A frame was not answered, or the demo was asked for something it can't do."""


def run_demo(*, material: Material, count: int, seed: int, stay: bool, headless: bool, json_file: Path | None, report: Path) -> None:
    """Stream `count` simulated frames through a service of its own; one member is taken out and put back on the way.

    material : one of `BUNDLES`

    Raises
    ------
    DemoFailed
        when a frame is not answered.
    """
    if count < 1:
        raise DemoFailed(f"--count is {count}; at least one frame is needed")
    microscope, bundle = SimulatedMicroscope(seed, material=material), BUNDLES[material]
    with tempfile.TemporaryDirectory(prefix="atomstream-demo-") as folder:
        print(f"starting a service with the ensemble {bundle!r} ...", flush=True)
        with launched(Path(folder) / "state", bundle=bundle, config='log_level = "warning"\n') as service, _connected(service) as line:
            engine = service.control().status()["engine"]
            print(f"it runs on {engine['device']}: frames {service.frames}, results {service.results}, {service.url}/docs", flush=True)
            with table(headless) as show:
                frames = list(_stream(service, line, microscope, count, show))
            write_report(service.control(), report)
            _conclude(frames)
            print(f"picture of the last frame: {report}", flush=True)
            if json_file is not None:
                json_file.write_text(json.dumps({"material": material, "seed": seed, "engine": engine, "frames": frames}, indent=2) + "\n", encoding="utf-8")
            if stay:
                _stay(line, microscope, count, service)


Line = tuple[FramePublisher, ResultSubscriber]


@contextlib.contextmanager
def _connected(service: Launched) -> Iterator[Line]:
    with FramePublisher(_SOURCE, service.frames) as publisher, ResultSubscriber(service.results, kinds=("atoms", "error"), source=_SOURCE) as subscriber:
        if not publisher.wait_for_reader():
            raise DemoFailed(f"the service does not listen at {service.frames}")
        yield publisher, subscriber


def _stream(service: Launched, line: Line, microscope: SimulatedMicroscope, count: int, show: Show) -> Iterator[dict[str, Any]]:
    control = service.control("demo")
    member = control.members()["members"][0]["id"]
    out, back = count // 3, 2 * count // 3
    for k in range(count):
        if k in (out, back) and out < back:
            state = "disabled" if k == out else "enabled"
            generation = control.set_member(member, state, "shown by the demo")
            show.say(f"{member} {'taken out' if k == out else 'put back'} over REST, holds from generation {generation}")
        truth = microscope.next_frame()
        begun = time.perf_counter()
        result = _answer(line, truth, k)
        figures = _figures(k, result, truth, 1 / (time.perf_counter() - begun))
        show.frame(figures)
        yield figures


def _answer(line: Line, truth: MicroscopeFrame, k: int) -> Atoms:
    publisher, subscriber = line
    publisher.publish(truth.image, frame=k, pixel_size=(truth.pixel_nm, truth.pixel_nm), t_end=time.time())
    deadline = time.monotonic() + _ANSWER_S
    while time.monotonic() < deadline:
        result = subscriber.receive(1.0)
        if isinstance(result, Failure):
            raise DemoFailed(f"frame {k} failed: {result.message}")
        if isinstance(result, Atoms) and result.report.frame == k:
            return result
    raise DemoFailed(f"frame {k} was not answered within {_ANSWER_S:g} s")


def _figures(k: int, result: Atoms, truth: MicroscopeFrame, fps: float) -> dict[str, Any]:
    found = score(result.atoms[:, :2], truth.atoms_yx, MATCH * truth.neighbour_px, labelled(truth))
    rmse_px = None if math.isnan(found.rmse_px) else found.rmse_px
    return {
        "frame": k,
        "atoms": len(result.atoms),
        "f1": found.f1,
        "rmse_px": rmse_px,
        "rmse_neighbour": None if rmse_px is None else rmse_px / truth.neighbour_px,
        "latency_ms": result.report.latency_ms["total"],
        "fps": fps,
        "members_used": list(result.report.members_used),
        "generation": result.report.ensemble.generation,
        "flags": list(result.report.flags),
    }


def _conclude(frames: list[dict[str, Any]]) -> None:
    mild = frames[:8]
    f1 = sum(one["f1"] for one in mild) / len(mild)
    errors = [one["rmse_neighbour"] for one in mild if one["rmse_neighbour"] is not None]
    error = f"{sum(errors) / len(errors):.4f}" if errors else "unknown"
    print(f"first {len(mild)} frames: mean F1 {f1:.4f} at {MATCH} nearest-neighbour distance, localisation error {error} of that distance", flush=True)


def _stay(line: Line, microscope: SimulatedMicroscope, count: int, service: Launched) -> None:
    print(f"staying until interrupted: frames {service.frames}, results {service.results}, {service.url}/docs", flush=True)
    k = count
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            with contextlib.suppress(DemoFailed):
                _answer(line, microscope.next_frame(), k)
            k += 1
            time.sleep(_STAY_PACE_S)
