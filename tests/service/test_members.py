from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from atomstream_service.control._members import Members
from atomstream_service.control._refusal import RequestRefused
from atomstream_service.control._store import Store
from atomstream_service.members import MemberState
from atomstream_service.transport import EngineUnavailable

IDS = ("m00", "m01", "m02")
ON, OFF = MemberState.ENABLED, MemberState.DISABLED


class Engine:
    """Stands for the other process: remembers what it was told, or is not there."""

    def __init__(self) -> None:
        self.told: list[tuple[int, dict[str, MemberState]]] = []
        self.there = True

    def __call__(self, generation: int, states: Mapping[str, MemberState], why: Mapping[str, str]) -> None:
        if not self.there:
            raise EngineUnavailable("gone")
        self.told.append((generation, dict(states)))


def _members(folder: Path, engine: Engine, bundle: str = "a" * 64, min_active: int = 1) -> Members:
    return Members(bundle, IDS, Store(folder), min_active, engine)


def test_a_change_is_told_journalled_and_counted(tmp_path: Path) -> None:
    engine = Engine()
    members = _members(tmp_path, engine)
    start = members.wish.generation
    generation = members.change({"m01": OFF}, "kim", "foggy")

    assert generation == start + 1
    assert engine.told == [(generation, {"m00": ON, "m01": OFF, "m02": ON})]
    line = Store(tmp_path).journal()[-1]
    assert (line["actor"], line["target"], line["reason"]) == ("kim", "m01", "foggy")
    assert (line["before"], line["after"], line["generation"]) == ({"m01": "enabled"}, {"m01": "disabled"}, generation)


def test_a_restart_forgets_nothing(tmp_path: Path) -> None:
    generation = _members(tmp_path, Engine()).change({"m01": OFF}, "kim", "")
    again = _members(tmp_path, Engine()).wish

    assert (again.generation, again.states["m01"], again.selected) == (generation, OFF, True)


def test_another_ensemble_starts_with_all_members_and_a_higher_generation(tmp_path: Path) -> None:
    generation = _members(tmp_path, Engine()).change({"m01": OFF}, "kim", "")
    other = _members(tmp_path, Engine(), bundle="b" * 64).wish

    assert (other.generation, other.states["m01"], other.selected) == (generation + 1, ON, False)


def test_without_an_engine_the_change_is_remembered_and_told_when_it_is_back(tmp_path: Path) -> None:
    engine = Engine()
    members = _members(tmp_path, engine)
    old = members.wish.generation
    engine.there = False
    generation = members.change({"m01": OFF}, "kim", "")
    engine.there = True
    members.reconcile(old)

    assert engine.told == [(generation, {"m00": ON, "m01": OFF, "m02": ON})]


def test_an_engine_that_is_up_to_date_is_told_nothing(tmp_path: Path) -> None:
    engine = Engine()
    members = _members(tmp_path, engine)
    members.reconcile(members.wish.generation)

    assert engine.told == []


def test_the_first_choice_counts_as_a_change_even_where_no_state_differs(tmp_path: Path) -> None:
    members = _members(tmp_path, Engine())
    first = members.change({"m00": ON}, "kim", "looked at all of them")

    assert members.wish.selected
    assert members.change({"m00": ON}, "kim", "again") == first


@pytest.mark.parametrize(
    ("states", "expected", "status"),
    [({"m09": OFF}, None, 404), ({"m00": OFF, "m01": OFF}, None, 409), ({"m00": OFF}, 0, 412)],
)
def test_a_change_that_can_not_be_is_refused_and_changes_nothing(tmp_path: Path, states: dict[str, MemberState], expected: int | None, status: int) -> None:
    engine = Engine()
    members = _members(tmp_path, engine, min_active=2)
    before = members.wish
    with pytest.raises(RequestRefused) as refusal:
        members.change(states, "kim", "", expected)

    assert refusal.value.status == status
    assert members.wish == before
    assert engine.told == []


def test_a_member_whose_run_failed_is_set_failed_once(tmp_path: Path) -> None:
    engine = Engine()
    members = _members(tmp_path, engine)
    members.mark_failed({"m02": "out of memory"})
    members.mark_failed({"m02": "out of memory"})

    assert members.wish.states["m02"] is MemberState.FAILED
    assert len(engine.told) == 1
