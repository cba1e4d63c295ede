"""The measurements of the engine's path, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from atomstream_models.analysis import FrameRefused, MemberFailed
from atomstream_models.runtime import TILE_PIXELS, Device, LoadedEnsemble, LoadError, Precision, Way, load_in

from ..heap import give_memory_back
from ._cases import Case
from ._frames import Frames, simulated
from ._limits import Limits, measure_limits
from ._measure import Measured, measure
from ._memory import Memory, measure_memory
from ._networks import Network, in_turns
from ._roof import Roof, roof_of
from ._room import Skipped, expected_bytes, room_bytes, sittings, too_large
from ._work import Work, work_of

Say = Callable[[str], None]


@dataclass(frozen=True)
class Findings:
    """What was measured.

    networks, ways : by their names, as cases name them
    works : network, side of a frame -> what one member does with it
    memory : of the cases for which it was measured
    skipped : cases that were not measured, and why
    """

    networks: Mapping[str, Network]
    ways: Mapping[str, Way]
    limits: Limits
    works: Mapping[tuple[str, int], Work]
    measured: Sequence[Measured]
    memory: Mapping[Case, Memory] = field(default_factory=dict)
    skipped: Sequence[Skipped] = ()

    def roof(self, one: Measured) -> Roof:
        """How close a case's members came to the machine's limits."""
        case = one.case
        return roof_of(self.works[case.network, case.side], case.members, self.ways[case.way], one.stages["infer"].median, self.limits)


class Suite:
    """Measures cases.

    networks, ways : those that the cases name
    device, precision : that the ways were asked for
    room : bytes that may be taken right now; None where nobody knows
    say : told what comes next
    """

    def __init__(
        self,
        networks: Iterable[Network],
        ways: Iterable[Way],
        device: Device,
        precision: Precision,
        room: Callable[[], float | None] = room_bytes,
        say: Say = lambda text: None,
    ) -> None:
        self._networks = {one.name: one for one in networks}
        self._ways = {str(way): way for way in ways}
        self._device: Device = device
        self._precision: Precision = precision
        self._room = room
        self._say = say
        self._frames: dict[int, Frames] = {}

    def run(self, cases: Sequence[Case], rounds: int, *, memory: bool = True) -> Findings:
        """Measure each case's memory, then its times; those that there is no room for are skipped.

        rounds : frames for each case
        memory : whether to measure memory, which starts a process for each case
        """
        needs: dict[Case, float] = {}
        remembered: dict[Case, Memory] = {}
        skipped: list[Skipped] = []
        for k, case in enumerate(cases):
            needs[case] = expected_bytes(case, self._networks[case.network], self._ways[case.way], TILE_PIXELS)
            found: Memory | Skipped | None = too_large(case, needs[case], self._room())
            if found is None and memory:
                self._say(f"memory, {k + 1} of {len(cases)}: {case}")
                found = measure_memory(case, self._networks[case.network], self._frames_of(case.side), self._device, self._precision)
            if isinstance(found, Skipped):
                skipped.append(found)
            elif found is not None:
                remembered[case] = found
                needs[case] = found.peak or needs[case]
        left_out = {one.case for one in skipped}
        measured = []
        limits = self._limits()
        for sitting in sittings([case for case in cases if case not in left_out], needs.__getitem__, self._room()):
            try:
                measured += self._sit(sitting, rounds)
            except (LoadError, FrameRefused, MemberFailed) as error:
                skipped += [Skipped(case, str(error)) for case in sitting]
            # What else the machine does changes by the minute, and a limit is what it can do at best.
            limits = limits.at_best(self._limits())
        return Findings(
            self._networks,
            self._ways,
            limits,
            {(case.network, case.side): self._work(case) for case in cases},
            sorted(measured, key=lambda one: cases.index(one.case)),
            remembered,
            skipped,
        )

    def _limits(self) -> Limits:
        self._say("the machine's limits")
        return measure_limits(list(self._ways.values()))

    def _sit(self, cases: Sequence[Case], rounds: int) -> list[Measured]:
        """Cases of one network and one frame size; their members are freed before the next come."""
        network, side = self._networks[cases[0].network], cases[0].side
        most: dict[str, int] = {}
        for case in cases:
            most[case.way] = max(case.members, most.get(case.way, 0))
        frames = self._frames_of(side)
        ensembles: dict[str, LoadedEnsemble] = {}
        try:
            for way, count in most.items():
                self._say(f"{network.name}, {side}²: opening {count} members, {way}")
                ensembles[way] = load_in(self._ways[way], in_turns(network.bundle, count), None)
            return measure(ensembles, cases, frames, rounds, lambda text: self._say(f"{network.name}, {side}²: {text}"))
        finally:
            for one in ensembles.values():
                one.close()
            give_memory_back()

    def _frames_of(self, side: int) -> Frames:
        if side not in self._frames:
            self._say(f"simulating frames, {side}²")
            self._frames[side] = simulated(side)
        return self._frames[side]

    def _work(self, case: Case) -> Work:
        """What a member does with the frame as it is padded for it."""
        network = self._networks[case.network]
        grain = network.bundle.card.downsample
        side = -(-case.side // grain) * grain
        return work_of(network.member, (side, side))
