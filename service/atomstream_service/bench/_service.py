"""The whole service on this machine: frames over ZeroMQ, members toggled and ensembles swapped over REST."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from atomstream_client import Atoms, ControlClient
from atomstream_models.bundle import Bundle, copy_bundle, pack
from atomstream_models.runtime import Device, Precision

from ..demo import launched
from ._frames import simulated
from ._line import Stream, connected
from ._spread import Spread, as_ms, spread

_IN_FLIGHT = 3
_SETTLED = 5
"""Frames before anything is counted, those of a new ensemble's trial, and those between two changes."""
_CONFIG = """\
log_level = "warning"
warm_shapes = [[{side}, {side}]]
trial_frames = {settled}
device = "{device}"
precision = "{precision}"

[[frames]]
policy = "queue"
depth = 8
"""


@dataclass(frozen=True)
class ServiceTimes:
    """A service that nobody else uses, on this machine.

    side, members : of the frames, and of the ensemble
    way : what the service runs its members with
    latency : from sending a frame to having its atoms, one at a time, ms
    frames_per_s : with three frames on their way
    toggle : from asking for a member to be taken out or put back until the first atoms of that set, under a stream, ms; None with a single member
    swap : from asking for another ensemble until the first atoms that it found, under a stream, loading included, ms
    swap_pause : the longest time between two frames' atoms around each of these swaps, ms
    lost : frames of all these streams that were not answered
    """

    side: int
    members: int
    way: str
    latency: Spread
    frames_per_s: float
    toggle: Spread | None
    swap: Spread
    swap_pause: Spread
    lost: int

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        toggle = "no toggles with a single member" if self.toggle is None else f"from a toggle to its first atoms {_told(self.toggle)}"
        latency = f"{as_ms(self.latency.median)} ms from sending a frame to having its atoms (p95 {as_ms(self.latency.p95)}, p99 {as_ms(self.latency.p99)})"
        return (
            f"{self.side}², {self.members} members, {self.way}: {latency}, {self.frames_per_s:.1f} frames/s; {toggle}; from ordering another ensemble to its "
            f"first atoms {_told(self.swap)}, longest pause meanwhile {_told(self.swap_pause)}; {self.lost} frames lost"
        )


def measure_service(
    bundle: Bundle,
    folder: Path,
    side: int,
    frames: int,
    toggles: int,
    swaps: int,
    device: Device = "auto",
    precision: Precision = "exact",
    say: Callable[[str], None] = lambda text: None,
) -> ServiceTimes:
    """Start a service on free ports with a bundle, stream frames of side x side pixels through it, toggle its members and swap it for its like.

    folder : a new folder for the service's state
    frames : to be sent one at a time, and again with several on their way

    Raises
    ------
    LaunchFailed
        where the service does not start.
    Unanswered
        where frames are not answered.
    """
    images = simulated(side)
    config = _CONFIG.format(side=side, settled=_SETTLED, device=device, precision=precision)
    say("service: starting")
    with launched(folder / "state", bundle=str(bundle.folder), config=config) as service, connected(service) as line:
        for k in range(_SETTLED):
            line.ask(images[k], images.pixel_nm, k)
        say("service: latency")
        latency = [line.ask(images[k], images.pixel_nm, 1000 + k) for k in range(frames)]
        say("service: throughput")
        rate = line.rate(images, frames, _IN_FLIGHT)
        with Stream(line, images) as stream:
            say("service: toggles")
            toggle = _toggles(stream, service.control("bench"), bundle.card.member_ids, toggles)
            say("service: swaps")
            swap, pauses = _swaps(stream, service.control("bench"), bundle, folder, swaps)
        engine = service.control().status()["engine"]
    answered = [ms for ms in latency if ms is not None]
    return ServiceTimes(
        side,
        len(bundle.card.members),
        _way(engine),
        spread(answered),
        rate,
        spread(toggle) if toggle else None,
        spread(swap),
        spread(pauses),
        frames - len(answered) + stream.unanswered,
    )


def _told(times: Spread) -> str:
    return f"{times.median:.0f} ms, at worst {times.most:.0f} ms of {times.count}"


def _way(engine: dict[str, Any]) -> str:
    return f"{engine['runtime']}, {engine['bits']}"


def _toggles(stream: Stream, control: ControlClient, ids: tuple[str, ...], count: int) -> list[float]:
    """Milliseconds from each order to the first atoms of the set of members that it asks for."""
    if len(ids) < 2:
        return []
    took = []
    for k in range(count):
        stream.wait_for(lambda atoms: True, len(stream.answers))
        since, asked = len(stream.answers), time.perf_counter()
        generation = control.set_member(ids[k // 2 % len(ids)], "disabled" if k % 2 == 0 else "enabled", "bench")
        took.append(1000 * (stream.wait_for(_of(generation), since) - asked))
    return took


def _of(generation: int) -> Callable[[Atoms], bool]:
    return lambda atoms: atoms.report.ensemble.generation >= generation


def _swaps(stream: Stream, control: ControlClient, bundle: Bundle, folder: Path, count: int) -> tuple[list[float], list[float]]:
    """Milliseconds from each order to the first atoms of the ensemble that it asks for, and the longest pause between atoms meanwhile."""
    card = bundle.card
    versions = [_registered_again(control, bundle, folder), card.version]
    took, pauses = [], []
    for k in range(count):
        # Until the last swap's trial is over, the ensemble before it is still loaded.
        for _ in range(2 * _SETTLED):
            stream.wait_for(lambda atoms: True, len(stream.answers))
        since, asked = len(stream.answers), time.perf_counter()
        generation = control.ensembles.activate(card.name, versions[k % 2], reason="bench").generation
        came = stream.wait_for(_of(generation), since)
        took.append(1000 * (came - asked))
        times = [moment for moment, _ in stream.answers[since - 1 :] if moment <= came]
        pauses.append(1000 * max(b - a for a, b in pairwise(times)))
    return took, pauses


def _registered_again(control: ControlClient, bundle: Bundle, folder: Path) -> str:
    """The version under which a copy of the bundle is registered, which answers as it does and is another ensemble all the same."""
    copy = folder / "again"
    copy.mkdir()
    copy_bundle(bundle.folder, copy)
    card = json.loads((copy / "card.json").read_bytes())
    card["version"] = f"{card['version'][:50]}-again"
    (copy / "card.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    pack(copy, folder / "again.atomstream")
    control.ensembles.upload(folder / "again.atomstream")
    return str(card["version"])
