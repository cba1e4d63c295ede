"""What races between ways of running members found, kept for whoever loads ensembles of the same networks later."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from ..bundle import Bundle
from ._choice import Tried
from ._ways import Way


class Race(BaseModel):
    """One race, in which every way could run the members.

    networks : architecture and size in bytes of each member's file, no two alike
    shape : rows and columns of the frame that was measured on
    ms : a way, as `str` names it -> milliseconds for a frame, None where there was no other way
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    networks: frozenset[tuple[str, int]]
    shape: tuple[int, int]
    ms: dict[str, float | None]


class Races:
    """Races by what ran in them.

    told : what `as_json` of another one gave, which is forgotten where it makes no sense
    """

    def __init__(self, told: Sequence[JsonValue] = ()) -> None:
        self._known: dict[tuple[frozenset[tuple[str, int]], tuple[int, int]], Race] = {}
        for one in told:
            try:
                race = Race.model_validate(one)
            except ValidationError:
                continue
            self._known[race.networks, race.shape] = race

    def find(self, bundle: Bundle, shape: tuple[int, int], ways: Sequence[Way]) -> list[Tried] | None:
        """What is known of these very ways with this bundle's networks on such a frame, None where that is nothing."""
        race = self._known.get((_networks(bundle), shape))
        if race is None or set(race.ms) != set(map(str, ways)):
            return None
        return [Tried(way, race.ms[str(way)]) for way in ways]

    def add(self, bundle: Bundle, shape: tuple[int, int], tried: Sequence[Tried]) -> None:
        """Remember a race; one in which a way failed is not remembered, since that may be the bundle's fault, or a moment's."""
        if all(one.complaint is None for one in tried):
            networks = _networks(bundle)
            self._known[networks, shape] = Race(networks=networks, shape=shape, ms={str(one.way): one.ms for one in tried})

    def as_json(self) -> list[dict[str, Any]]:
        return [race.model_dump(mode="json") for race in list(self._known.values())]  # another thread may add one


def _networks(bundle: Bundle) -> frozenset[tuple[str, int]]:
    return frozenset((member.architecture, bundle.member_path(member.id).stat().st_size) for member in bundle.card.members)
