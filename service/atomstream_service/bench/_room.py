"""Whether there is memory for a case, before it is tried."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from atomstream_models.runtime import Way, processors

from ._cases import Case
from ._networks import Network
from ._work import work_of

_NUMBER_BYTES = 4
_PACKAGES_BYTES = 400e6
"""Interpreter and packages."""
_SHARE = 0.8
"""Of the memory that is free, what a benchmark may take."""
_LAYOUT = 1.5
"""What runtimes take for tensors, padded and in orders of their own, against their numbers alone."""


@dataclass(frozen=True)
class Skipped:
    """A case that was not measured, and why."""

    case: Case
    reason: str


def room_bytes(proc: Path = Path("/proc/meminfo"), group: Path = Path("/sys/fs/cgroup")) -> float | None:
    """Memory that may be taken now without harm to anybody else; None where the system does not tell.

    proc : what the kernel says of the machine
    group : where the limit of a container stands
    """
    free = []
    if proc.is_file():
        free += [1024 * float(line.split()[1]) for line in proc.read_text(encoding="ascii").splitlines() if line.startswith("MemAvailable:")]
    limit, used = group / "memory.max", group / "memory.current"
    if limit.is_file() and used.is_file() and (most := limit.read_text(encoding="ascii").strip()) != "max":
        free.append(float(most) - float(used.read_text(encoding="ascii")))
    return _SHARE * min(free) if free else None


def expected_bytes(case: Case, network: Network, way: Way, tile_pixels: int) -> float:
    """Memory that a process needs which answers a case's frames, rather too much than too little.

    tile_pixels : frames of more pixels are run in parts
    """
    pixels = case.side**2
    part = min(case.side, int(tile_pixels**0.5)) // network.bundle.card.downsample * network.bundle.card.downsample
    # ONNX Runtime's members share one pool of memory; elsewhere each keeps its own.
    working = min(processors(), case.members) if way.name == "onnxruntime" else case.members
    # Each member's answer as it comes and cut to the frame; mean, std and what locating atoms takes.
    answers = (2 * case.members + 12) * network.bundle.card.channels * pixels
    weights = case.members * network.member.stat().st_size
    return _PACKAGES_BYTES + _NUMBER_BYTES * (_LAYOUT * working * work_of(network.member, (part, part)).alive + answers) + 2 * weights


def too_large(case: Case, need: float, room: float | None) -> Skipped | None:
    """A case that has no room; None where it has."""
    if room is None or need <= room:
        return None
    return Skipped(case, f"it would take about {need / 1e9:.1f} GB, and {room / 1e9:.1f} GB may be taken")


def sittings(cases: Iterable[Case], need: Callable[[Case], float], room: float | None) -> list[list[Case]]:
    """Cases that take turns: all of a network and a frame size, or where that many members don't fit in memory together, way by way.

    need : bytes that a case takes
    """
    found = []
    for _, group in groupby(sorted(cases), key=lambda case: (case.network, case.side)):
        by_way = {way: list(some) for way, some in groupby(sorted(group, key=lambda case: case.way), key=lambda case: case.way)}
        together = sum(max(need(case) for case in some) for some in by_way.values())
        found += [[case for some in by_way.values() for case in some]] if room is None or together <= room else list(by_way.values())
    return found
