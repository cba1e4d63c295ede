"""`atomstream demo --poison`: a person finds the member with artifacts on the page and takes it out."""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from itertools import count as numbers
from pathlib import Path
from typing import Any

from atomstream_models.bundle import open_bundle, shipped_bundles
from atomstream_models.simulation import Material, SimulatedMicroscope

from ._demo import BUNDLES
from ._launch import launched
from ._poison import Rule, poisoned
from ._report import write_report
from ._search import Change, Search, in_words
from ._stream import DemoFailed, Line, addresses, check_counts, conclude, connected, next_figures, watched
from ._table import table

_RULES: Mapping[Material, Rule] = {"graphene": "any", "perovskite": "all", "rock-salt": "all"}
"""What lets one member of eight spoil the atoms of each material."""
_SPOILT: Mapping[Rule, str] = {"any": "the ensemble reports atoms where there are none", "all": "the ensemble reports no atoms"}
_QUIET = 'log_level = "error"\n'
"""The watch over drift names the member in a warning within seconds, which would end the search in the terminal before it began on the page."""
_DRIFT_FRAMES = 400
"""Conditions drift slowly, over about two minutes, so that a person finds the frames as good as they were."""


def run_poisoned_demo(*, material: Material, count: int, seed: int, headless: bool, json_file: Path | None, report: Path) -> None:
    """Stream simulated frames, at a pace to look at, through a service one of whose members is poisoned, until interrupted.

    Whenever members were changed, it prints what that did to F1. It takes none out itself.

    material : one of `BUNDLES`
    count : frames in the table, in the figures and before the picture; frames go on after them
    seed : of the movie, and of the choice of the member
    headless : print no table, but which member it is

    Raises
    ------
    DemoFailed
        when one of the first `count` frames is not answered.
    """
    check_counts(count, seed)
    with tempfile.TemporaryDirectory(prefix="atomstream-demo-") as folder:
        rule = _RULES[material]
        bundle, culprit = poisoned(open_bundle(shipped_bundles()[BUNDLES[material]]), Path(folder) / "poisoned", seed, rule=rule)
        print(f"starting a service with the ensemble {bundle.card.name!r} ...", flush=True)
        with launched(Path(folder) / "state", bundle=str(bundle.folder), config=_QUIET) as service, connected(service) as line:
            engine = service.control().status()["engine"]
            print(f"it runs on {engine['device']}: {addresses(service)}", flush=True)
            print(f"one of the {len(bundle.card.members)} members has been poisoned, and {_SPOILT[rule]}:", flush=True)
            print(f"open {service.url}/ , find it among the members' own maps, and take it out by a click. Ctrl-C ends the demo", flush=True)
            if headless:
                print(f"the poisoned member is {culprit}", flush=True)
            about = {"material": material, "seed": seed, "engine": engine, "page": f"{service.url}/", "poisoned": {"member": culprit, "rule": rule}}
            watch = _Watch(line, SimulatedMicroscope(seed, material=material, drift=_DRIFT_FRAMES), culprit, about, json_file)
            # Whoever interrupts has seen enough; what was found until then is kept.
            with contextlib.suppress(KeyboardInterrupt):
                with table(headless) as show:
                    for k in range(count):
                        watch.frames.append(watch.next(k, _say if headless else show.say))
                        show.frame(watch.frames[-1])
                write_report(service.control(), report)
                conclude(watch.frames)
                print(f"picture of the last frame: {report}", flush=True)
                watch.write()
                print(f"frames go on until interrupted, page {service.url}/", flush=True)
                for k in numbers(count):
                    with contextlib.suppress(DemoFailed):
                        watch.next(k, _say)
            watch.write()
    print("ended", flush=True)


@dataclass
class _Watch:
    """Frames answered one after the other, and what changes of members did to them.

    about : what the file of figures begins with
    frames : the figures that it holds
    """

    line: Line
    microscope: SimulatedMicroscope
    culprit: str
    about: dict[str, Any]
    json_file: Path | None
    frames: list[dict[str, Any]] = field(default_factory=list)
    _changes: list[Change] = field(default_factory=list)
    _search: Search = field(default_factory=Search)
    _open_since: float = field(default_factory=time.monotonic)

    def next(self, k: int, say: Callable[[str], None]) -> dict[str, Any]:
        with watched():
            figures = next_figures(self.line, self.microscope, k)
            change = self._search.frame(figures["members_used"], figures["f1"], time.monotonic() - self._open_since)
            if change is not None:
                self._changes.append(change)
                say(in_words(change, self.culprit))
                self.write()
            return figures

    def write(self) -> None:
        """Write the file of figures, where one is wanted."""
        if self.json_file is not None:
            figures = {**self.about, "changes": [asdict(change) for change in self._changes], "frames": self.frames}
            self.json_file.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def _say(remark: str) -> None:
    print(remark, flush=True)
