"""`atomstream demo`."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator
from itertools import count as numbers
from pathlib import Path
from typing import Any

from atomstream_models.simulation import Material, SimulatedMicroscope

from ._launch import Launched, launched
from ._report import write_report
from ._stream import DemoFailed, Line, addresses, check_counts, conclude, connected, next_figures, watched
from ._table import Show, table

BUNDLES: dict[Material, str] = {"graphene": "graphene", "perovskite": "perovskite", "rock-salt": "perovskite"}
"""The materials that the demo can show, each with the shipped ensemble that knows it."""


def run_demo(*, material: Material, count: int, seed: int, stay: bool, headless: bool, json_file: Path | None, report: Path) -> None:
    """Stream `count` simulated frames through a service of its own; one member is taken out and put back on the way.

    material : one of `BUNDLES`

    Raises
    ------
    DemoFailed
        when a frame is not answered.
    """
    check_counts(count, seed)
    microscope, bundle = SimulatedMicroscope(seed, material=material), BUNDLES[material]
    with tempfile.TemporaryDirectory(prefix="atomstream-demo-") as folder:
        print(f"starting a service with the ensemble {bundle!r} ...", flush=True)
        with launched(Path(folder) / "state", bundle=bundle, config='log_level = "warning"\n') as service, connected(service) as line:
            engine = service.control().status()["engine"]
            print(f"it runs on {engine['device']}: {addresses(service)}", flush=True)
            with table(headless) as show:
                frames = list(_stream(service, line, microscope, count, show))
            write_report(service.control(), report)
            conclude(frames)
            print(f"picture of the last frame: {report}", flush=True)
            if json_file is not None:
                json_file.write_text(json.dumps({"material": material, "seed": seed, "engine": engine, "frames": frames}, indent=2) + "\n", encoding="utf-8")
            if stay:
                _stay(line, microscope, count, service)


def _stream(service: Launched, line: Line, microscope: SimulatedMicroscope, count: int, show: Show) -> Iterator[dict[str, Any]]:
    control = service.control("demo")
    member = control.members()["members"][0]["id"]
    out, back = count // 3, 2 * count // 3
    for k in range(count):
        if k in (out, back) and out < back:
            state = "disabled" if k == out else "enabled"
            generation = control.set_member(member, state, "shown by the demo")
            show.say(f"{member} {'taken out' if k == out else 'put back'} over REST, holds from generation {generation}")
        figures = next_figures(line, microscope, k)
        show.frame(figures)
        yield figures


def _stay(line: Line, microscope: SimulatedMicroscope, count: int, service: Launched) -> None:
    print(f"staying until interrupted: {addresses(service)}", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        for k in numbers(count):
            with watched(), contextlib.suppress(DemoFailed):
                next_figures(line, microscope, k)
