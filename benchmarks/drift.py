"""How soon drift is seen, how often falsely, who is blamed, and what quarantine gains: `python benchmarks/drift.py WORK [--json FILE]`.

The shipped graphene ensemble looks at simulated movies that are calm for 150 frames (the first 100 make the reference) and then go wrong in one
way. False alarms are counted on stationary movies and before the onsets. WORK keeps the members' maps, about 3 GB a seed, so that a second run
only judges. The defaults of the detectors were tuned on seed 11.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from drift_movies import NOISED, ONSET, RAMPS, SHAPE, STEP, Maps, Movie, graphene, make, movie, noised
from numpy.typing import NDArray

from atomstream_models.analysis import Grid, Inferred, Prepared
from atomstream_models.bundle import Card
from atomstream_models.combine import mean_std
from atomstream_models.evaluation import Detection, Truth, detection, pooled
from atomstream_models.locate import locate
from atomstream_service.drift import (
    DriftEvent,
    DriftSettings,
    FrameScores,
    QuarantineSettings,
    ScanKey,
    StreamWatch,
    score_frame,
)
from atomstream_service.members import MemberState

Figures = dict[str, Any]
Poison = Callable[[int, dict[str, Maps]], dict[str, Maps]]
"""What poisoned members answer at a frame counted from the onset, from what all would have answered."""

LASTING = STEP * 8
"""Frames that a poison lasts."""


class Frame(NamedTuple):
    """One frame of a case: the image, what each member answers, what is really there."""

    image: NDArray[np.uint16]
    maps: Mapping[str, Maps]
    truth: Truth


@dataclass(frozen=True)
class Case:
    """One thing that goes wrong.

    calm, then : the branches before and after the onset
    expected : what should be blamed; empty where nothing should
    guilty : the members that should be, where members should
    poison : what they answer from the onset on
    known : whether the watch has a reference at the onset
    """

    name: str
    calm: str
    then: str
    expected: str = ""
    guilty: tuple[str, ...] = ()
    poison: Callable[[Path, int], Poison] | None = None
    known: bool = True


def _shift(members: Sequence[str], most_px: int, per_frame: float) -> Callable[[Path, int], Poison]:
    """Their maps are shifted along both axes, by and by."""

    def poison(t: int, maps: dict[str, Maps]) -> dict[str, Maps]:
        px = min(most_px, int((t + 1) * per_frame))
        return {member: np.roll(maps[member], (px, px), (1, 2)) for member in members}

    return lambda work, seed: poison


def _fog(members: Sequence[str], level: float, most: float, per_frame: float) -> Callable[[Path, int], Poison]:
    """Their maps fade into an even probability `level`, by and by."""

    def poison(t: int, maps: dict[str, Maps]) -> dict[str, Maps]:
        share = np.float32(min(most, (t + 1) * per_frame))
        return {member: maps[member] * (1 - share) + share * np.float32(level) for member in members}

    return lambda work, seed: poison


def _noise(members: Sequence[str], branch: str, *, growing: bool) -> Callable[[Path, int], Poison]:
    """Noise on their weights."""

    def of_seed(work: Path, seed: int) -> Poison:
        held = noised(work, seed, branch, growing)
        return lambda t, maps: {member: held[t, NOISED.index(member)].astype(np.float32) for member in members}

    return of_seed


def _blind(members: Sequence[str]) -> Callable[[Path, int], Poison]:
    """They see nothing at all, at once."""
    return lambda work, seed: lambda t, maps: {member: np.zeros_like(maps[member]) for member in members}


def _bright(members: Sequence[str], level: float, per_frame: float) -> Callable[[Path, int], Poison]:
    """They see atoms everywhere: background rises to `level`, by and by."""

    def poison(t: int, maps: dict[str, Maps]) -> dict[str, Maps]:
        share = np.float32(min(level, (t + 1) * per_frame))
        return {member: maps[member] + share * (1 - maps[member]) for member in members}

    return lambda work, seed: poison


def _poisons(members: Sequence[str], base: str) -> dict[str, Callable[[Path, int], Poison]]:
    return {
        "a pixel of shift every 10 frames": _shift(members, 4, 0.1),
        "fogged 1 % a frame": _fog(members, 0.35, 0.8, 0.01),
        "growing weight noise": _noise(members, base, growing=True),
        "weight noise at once": _noise(members, base, growing=False),
        "blind at once": _blind(members),
    }


def _inverted(members: Sequence[str]) -> Callable[[Path, int], Poison]:
    """They take atoms for background and background for atoms, at once."""
    return lambda work, seed: lambda t, maps: {member: 1 - maps[member] for member in members}


ONE, THREE = NOISED[:1], NOISED
CASES = (
    Case("stationary, mild", "calm", "calm"),
    Case("stationary, 1/80 of the dose", "dim", "dim"),
    *(Case(f"{name} ramp", "calm", name, "instrument") for name in RAMPS),
    Case("another crystal", "calm", "crystal", "scene"),
    Case("a hole and dirt", "calm", "torn", "scene"),
    *(
        Case(f"{len(members)} poisoned, {kind}, {base}", base, base, "member", members, poison)
        for base in ("calm", "dim")
        for members in (ONE, THREE)
        for kind, poison in _poisons(members, base).items()
    ),
    Case("3 poisoned, blind at once, in the dose ramp", "calm", "dose", "member", THREE, _blind(THREE)),
    Case("3 poisoned, bright 1 % a frame, calm", "calm", "calm", "member", THREE, _bright(THREE, 0.95, 0.01)),
    Case("3 poisoned, bright at once, dim", "dim", "dim", "member", THREE, _bright(THREE, 0.95, 1.0)),
    *(
        Case(f"{len(members)} poisoned from the first frame, {kind}, calm", "calm", "calm", "member", members, poison, known=False)
        for kind, members, poison in (("4 px of shift", ONE, _shift(ONE, 4, 4.0)), ("inverted", THREE, _inverted(THREE)))
    ),
    Case("3 poisoned, inverted at once, calm", "calm", "calm", "member", THREE, _inverted(THREE)),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, metavar="WORK", help="folder for the members' maps")
    parser.add_argument("--seeds", type=int, nargs="+", default=[21, 22])
    parser.add_argument("--only", default="", metavar="TEXT", help="cases whose name holds TEXT")
    parser.add_argument("--every", type=int, default=4, help="judge F1 on every Nth frame")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    card = graphene().card
    results: dict[str, Figures] = {}
    for seed in given.seeds:
        make(seed, given.work)
        starts = {calm: _start(given.work, seed, calm, card) for calm in ("calm", "dim")}
        for calm, start in starts.items():
            results.setdefault(f"false alarms before, {calm}", {})[str(seed)] = {"frames": ONSET, "alarms": [asdict(event) for event in start.events]}
        for case in (case for case in CASES if given.only in case.name):
            figures = _judge(case, given.work, seed, card, starts[case.calm], given.every)
            results.setdefault(case.name, {})[str(seed)] = figures
            print(f"{seed} {case.name}: {_line(case, figures)}", flush=True)
        if given.json is not None:
            about = {
                "date": datetime.now(UTC).isoformat(timespec="seconds"),
                "versions": _versions(),
                "seeds": sorted({int(one) for by in results.values() for one in by}),
                "f1_every": given.every,
            }
            settings = {"drift": DriftSettings().model_dump(), "quarantine": _QUARANTINE.model_dump()}
            given.json.write_text(json.dumps({**about, "settings": settings, "results": results}, indent=1) + "\n", encoding="utf-8")


_QUARANTINE = QuarantineSettings(mode="quarantine")


def _after(case: Case, work: Path, seed: int, members: Sequence[str]) -> Iterator[Frame]:
    """The frames of a case from the onset on."""
    then = movie(work, seed, case.then)
    poison = case.poison(work, seed) if case.poison else None
    same = case.calm == case.then
    first = ONSET if same else 0
    for t in range(min(len(then) - first, LASTING) if same and poison else len(then) - first):
        frame = _frame(then, first + t, members)
        yield frame if poison is None else frame._replace(maps={**frame.maps, **poison(t, dict(frame.maps))})


def _frame(source: Movie, t: int, members: Sequence[str]) -> Frame:
    maps = {member: np.asarray(one, np.float32) for member, one in zip(members, source.maps[t], strict=True)}
    return Frame(source.images[t], maps, source.truths[t])


class _Service:
    """What the service does with drift: score, watch, take out."""

    def __init__(self, card: Card, mode: QuarantineSettings, known: Mapping[str, Any] | None = None) -> None:
        self._card = card
        self.watch = StreamWatch(DriftSettings(), mode, card.member_ids)
        if known is not None:
            self.watch = StreamWatch.restore(DriftSettings(), mode, card.member_ids, known)
        self.states = dict.fromkeys(card.member_ids, MemberState.ENABLED)
        self.events: list[DriftEvent] = []
        self.taken: list[tuple[int, str]] = []

    @property
    def used(self) -> list[str]:
        return [member for member, state in self.states.items() if state is MemberState.ENABLED]

    def scores(self, t: int, frame: Frame) -> FrameScores:
        return score_frame(t, frame.image, _inferred(frame, self.used), self._card)

    def take(self, t: int, scores: FrameScores, shape: tuple[int, int]) -> None:
        verdict = self.watch.see(scores, ScanKey(shape), self.states)
        self.events += verdict.events
        for decision in verdict.decisions:
            self.states[decision.member] = MemberState.QUARANTINED
            self.taken.append((t, decision.member))


def _inferred(frame: Frame, members: Sequence[str]) -> Inferred:
    maps = tuple(frame.maps[member] for member in members)
    mean, std = mean_std(maps)
    shape = (mean.shape[1], mean.shape[2])
    return Inferred(Prepared(None, Grid(shape, shape), (), np.zeros(shape[0], bool)), tuple(members), maps, mean, std)


def _start(work: Path, seed: int, calm: str, card: Card) -> _Service:
    """The watch after the calm frames that every case of a seed begins with."""
    service, source = _Service(card, QuarantineSettings()), movie(work, seed, calm)
    for t in range(ONSET):
        frame = _frame(source, t, card.member_ids)
        service.take(t - ONSET, service.scores(t - ONSET, frame), SHAPE)
    return service


def _judge(case: Case, work: Path, seed: int, card: Card, start: _Service, every: int) -> Figures:
    known = start.watch.as_json() if case.known else None
    static, policed = _Service(card, QuarantineSettings(), known), _Service(card, _QUARANTINE, known)
    found: dict[str, list[Detection]] = {name: [] for name in ("static", "quarantine", *card.member_ids)}
    t = -1
    for t, frame in enumerate(_after(case, work, seed, card.member_ids)):
        used = policed.used
        scores = static.scores(t, frame)
        static.take(t, scores, SHAPE)
        policed.take(t, scores if used == static.used else policed.scores(t, frame), SHAPE)
        if t % every == 0 and case.expected:
            sets = {"static": static.used, "quarantine": used, **{member: [member] for member in card.member_ids}}
            for name, members in sets.items():
                mean = _inferred(frame, members).mean
                found[name].append(detection(locate(mean, None, (), card.threshold), frame.truth))
    alarms = [event for event in static.events if event.kind == "alarm"]
    right = [event for event in alarms if event.cause == case.expected and (not case.guilty or event.member in case.guilty)]
    return {
        "frames": t + 1,
        "f1": {name: pooled(ones).f1 for name, ones in found.items() if ones},
        "alarms": [asdict(event) for event in alarms],
        "delay": right[0].seq if right else None,
        "delays": {member: next((event.seq for event in right if event.member == member), None) for member in case.guilty},
        "blamed": list(dict.fromkeys(event.member or event.cause for event in alarms)),
        "quarantined": policed.taken,
    }


def _line(case: Case, figures: Figures) -> str:
    if not case.expected:
        return f"{len(figures['alarms'])} false alarms in {figures['frames']} frames"
    f1 = figures["f1"]
    best = max((value, name) for name, value in f1.items() if name not in ("static", "quarantine"))
    return (
        f"delay {figures['delay']} {figures['delays'] or ''}, blamed {figures['blamed']}, quarantined {figures['quarantined']}, "
        f"F1 static {f1['static']:.4f} quarantine {f1['quarantine']:.4f} best single {best[0]:.4f} ({best[1]})"
    )


def _versions() -> Figures:
    return {**{name: version(name) for name in ("atomstream", "onnxruntime", "numpy")}, "machine": platform.platform(), "processors": os.cpu_count()}


if __name__ == "__main__":
    main()
