"""What is measured: networks, frame sizes, numbers of members, ways to run them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

BASE_SIDE, BASE_MEMBERS = 512, 8
"""Where a star's axes cross, or as near to it as its values come."""


@dataclass(frozen=True, order=True)
class Case:
    """Frames of side x side pixels through `members` members of `network`, run in `way`."""

    network: str
    side: int
    members: int
    way: str

    def __str__(self) -> str:
        return f"{self.network}, {self.side}², {self.members} members, {self.way}"


def grid(networks: Sequence[str], sides: Sequence[int], members: Sequence[int], ways: Sequence[str]) -> list[Case]:
    """Everything with everything."""
    return [Case(network, side, count, way) for network in networks for side in sides for count in members for way in ways]


def star(networks: Sequence[str], sides: Sequence[int], members: Sequence[int], ways: Sequence[str]) -> list[Case]:
    """One axis at a time from a common centre, whose network is the first one; a grid of the same values would take hours."""
    side, count = _nearest(sides, BASE_SIDE), _nearest(members, BASE_MEMBERS)
    corners = [(networks[0], one, count) for one in sides] + [(networks[0], side, one) for one in members] + [(one, side, count) for one in networks]
    return [Case(*corner, way) for corner in dict.fromkeys(sorted(corners, key=lambda one: (networks.index(one[0]), *one[1:]))) for way in ways]


def _nearest(values: Sequence[int], to: int) -> int:
    return min(values, key=lambda one: abs(one - to))
