from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from atomstream_service.control._keeper import Keeper, restored
from atomstream_service.control._members import Members
from atomstream_service.control._refusal import RequestRefused
from atomstream_service.control._store import Entry, Store, StoreUnusable
from atomstream_service.control._wish import EnsembleRef, Lineup, Trial, Wish, as_json, brought_back, from_json, with_ensemble
from atomstream_service.members import MemberState
from atomstream_service.transport import EngineSilent, EngineUnavailable

IDS = ("m00", "m01", "m02")
ON, OFF = MemberState.ENABLED, MemberState.DISABLED


class Engine:
    """Stands for the other process: remembers what it was told, or is not there."""

    def __init__(self) -> None:
        self.told: list[tuple[int, dict[str, MemberState]]] = []
        self.there = True
        self.silent = False

    def __call__(self, wish: Wish, why: Mapping[str, str], patience_s: float) -> None:
        if self.silent:
            raise EngineSilent("busy")
        if not self.there:
            raise EngineUnavailable("gone")
        self.told.append((wish.generation, dict(wish.states)))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path)
    yield store
    store.close()


class Held(Members):
    """Members with the wish that they change within reach."""

    def __init__(self, store: Store, engine: Engine, bundle: str, min_active: int) -> None:
        self.keeper = Keeper(restored(store, Lineup(EnsembleRef("plain", "1", bundle), dict.fromkeys(IDS, ON), False), lambda ref: True), store, engine)
        super().__init__(self.keeper, min_active)

    @property
    def wish(self) -> Wish:
        return self.keeper.wish


def _members(store: Store, engine: Engine, bundle: str = "a" * 64, min_active: int = 1) -> Held:
    return Held(store, engine, bundle, min_active)


def test_a_change_is_told_journalled_and_counted(store: Store) -> None:
    engine = Engine()
    members = _members(store, engine)
    start = members.wish.generation
    generation = members.change({"m01": OFF}, "kim", "foggy")

    assert generation == start + 1
    assert engine.told == [(generation, {"m00": ON, "m01": OFF, "m02": ON})]
    line = store.journal()[-1]
    assert (line["actor"], line["target"], line["reason"]) == ("kim", "m01", "foggy")
    assert (line["before"], line["after"], line["generation"]) == ({"m01": "enabled"}, {"m01": "disabled"}, generation)


def test_a_restart_forgets_nothing(store: Store) -> None:
    generation = _members(store, Engine()).change({"m01": OFF}, "kim", "")
    again = _members(store, Engine()).wish

    assert (again.generation, again.states["m01"], again.live.selected) == (generation, OFF, True)


def test_another_ensemble_starts_with_all_members_and_a_higher_generation(store: Store) -> None:
    generation = _members(store, Engine()).change({"m01": OFF}, "kim", "")
    other = _members(store, Engine(), bundle="b" * 64).wish

    assert (other.generation, other.states["m01"], other.live.selected) == (generation + 1, ON, False)


def test_an_ensemble_that_has_gone_gives_way_to_the_configured_one_under_a_new_generation(store: Store) -> None:
    members = _members(store, Engine())
    other = EnsembleRef("other", "1", "b" * 64)
    with members.keeper.turn() as before:
        after = with_ensemble(before, other, ["m00"], on_trial=False)
        members.keeper.carry_out(after, Entry("kim", "activate", str(other), "", None, None, after.generation))
    configured = Lineup(EnsembleRef("plain", "1", "a" * 64), dict.fromkeys(IDS, ON), False)

    assert restored(store, configured, lambda ref: True).live.ensemble == other
    back = restored(store, configured, lambda ref: ref != other)
    assert (back.live, back.generation) == (configured, after.generation + 1)


def test_coming_back_to_an_ensemble_brings_back_its_members_and_tries_failed_ones_anew(store: Store) -> None:
    members = _members(store, Engine())
    members.change({"m01": OFF}, "kim", "")
    members.mark_failed({"m02": "out of memory"})
    first = members.wish
    other = EnsembleRef("other", "1", "b" * 64)
    there = with_ensemble(first, other, ["x"], on_trial=True)
    back = with_ensemble(replace(there, trial=None), first.live.ensemble, IDS, on_trial=True)

    assert there.trial == Trial(first.live, there.generation + 1)
    assert brought_back(there).live == first.live
    assert brought_back(there).generation == there.generation + 1
    assert back.states == {"m00": ON, "m01": OFF, "m02": ON}
    assert back.live.selected
    assert [one.ensemble for one in back.earlier] == [other]
    assert from_json(as_json(there)) == there


def test_without_an_engine_the_change_is_remembered_and_told_when_it_is_back(store: Store) -> None:
    engine = Engine()
    members = _members(store, engine)
    engine.there = False
    generation = members.change({"m01": OFF}, "kim", "")
    engine.there = True
    members.keeper.remind()

    assert engine.told == [(generation, {"m00": ON, "m01": OFF, "m02": ON})]


def test_the_first_choice_counts_as_a_change_even_where_no_state_differs(store: Store) -> None:
    members = _members(store, Engine())
    first = members.change({"m00": ON}, "kim", "looked at all of them")

    assert members.wish.live.selected
    assert members.change({"m00": ON}, "kim", "again") == first


@pytest.mark.parametrize(
    ("states", "expected", "status"),
    [({"m09": OFF}, None, 404), ({"m00": OFF, "m01": OFF}, None, 409), ({"m00": OFF}, 0, 412)],
)
def test_a_change_that_can_not_be_is_refused_and_changes_nothing(store: Store, states: dict[str, MemberState], expected: int | None, status: int) -> None:
    engine = Engine()
    members = _members(store, engine, min_active=2)
    before = members.wish
    with pytest.raises(RequestRefused) as refusal:
        members.change(states, "kim", "", expected)

    assert refusal.value.status == status
    assert members.wish == before
    assert engine.told == []


def test_a_member_whose_run_failed_is_set_failed_once(store: Store) -> None:
    engine = Engine()
    members = _members(store, engine)
    members.mark_failed({"m02": "out of memory"})
    members.mark_failed({"m02": "out of memory"})

    assert members.wish.states["m02"] is MemberState.FAILED
    assert len(engine.told) == 1


def test_an_engine_that_does_not_say_leaves_the_caller_in_no_doubt(store: Store) -> None:
    engine = Engine()
    members = _members(store, engine)
    engine.silent = True
    with pytest.raises(EngineSilent):
        members.change({"m01": OFF}, "kim", "")
    with pytest.raises(EngineSilent):
        members.change({"m01": OFF}, "kim", "asked again")
    engine.silent = False
    members.keeper.remind()

    assert engine.told == [(members.wish.generation, {"m00": ON, "m01": OFF, "m02": ON})]


def test_a_quorum_that_is_lost_already_does_not_stand_in_the_way_of_repair(store: Store) -> None:
    members = _members(store, Engine(), min_active=2)
    members.mark_failed(dict.fromkeys(IDS, "out of memory"))

    members.change({"m01": MemberState.SHADOW}, "kim", "watch it")
    members.change({"m00": ON}, "kim", "new GPU")
    with pytest.raises(RequestRefused):
        members.change({"m00": OFF}, "kim", "")


def test_a_failed_member_is_no_selection(store: Store) -> None:
    members = _members(store, Engine())
    members.mark_failed({"m02": "out of memory"})

    assert not members.wish.live.selected


def test_choosing_at_once_from_two_sides_leaves_one_choice(store: Store) -> None:
    members = _members(store, Engine())
    choices = [threading.Thread(target=members.choose, args=([member], "kim", "")) for member in IDS for _ in range(5)]
    for choice in choices:
        choice.start()
    for choice in choices:
        choice.join()

    assert list(members.wish.states.values()).count(ON) == 1


def test_the_journal_gives_the_newest_or_those_after_an_id(store: Store) -> None:
    members = _members(store, Engine())
    for k in range(6):
        members.change({"m01": OFF if k % 2 == 0 else ON}, f"actor {k}", "")
    newest = store.journal(limit=2)

    assert [line["actor"] for line in newest] == ["actor 4", "actor 5"]
    assert [line["actor"] for line in store.journal(after=newest[0]["id"])] == ["actor 5"]


def test_one_state_folder_serves_one_service(store: Store, tmp_path: Path) -> None:
    with pytest.raises(StoreUnusable, match="another service"):
        Store(tmp_path)


def test_a_quarantined_member_stays_out_until_somebody_acknowledges_it(store: Store) -> None:
    engine = Engine()
    members = _members(store, engine)
    first = members.quarantine("m01", "disagrees with the others", 3, 1)
    again = members.quarantine("m01", "disagrees with the others", 3, 1)

    assert first == again
    assert members.wish.states["m01"] is MemberState.QUARANTINED
    assert not members.wish.live.selected
    generation = members.wish.generation
    assert members.acknowledge("m01", ON, lambda: True, "kim", "the tip was cleaned") == (generation + 1, True, True)
    assert members.acknowledge("m00", MemberState.DISABLED, lambda: False, "kim", "") == (generation + 1, False, False)

    assert members.wish.states == dict.fromkeys(IDS, ON)
    assert [line["action"] for line in store.journal()][-2:] == ["quarantine", "acknowledge"]


@pytest.mark.parametrize(("most_out", "least_used"), [(3, 3), (0, 1)])
def test_the_policy_can_not_undercut_its_limits_whatever_it_knew_when_it_decided(store: Store, most_out: int, least_used: int) -> None:
    members = _members(store, Engine())
    with pytest.raises(RequestRefused) as refused:
        members.quarantine("m01", "disagrees with the others", most_out, least_used)
    assert refused.value.code == "policy_limits"
    assert members.wish.states["m01"] is ON


def test_a_member_whose_alarm_can_not_be_released_stays_in_quarantine(store: Store) -> None:
    members = _members(store, Engine())
    members.quarantine("m01", "disagrees with the others", 3, 1)

    def release() -> bool:
        raise EngineUnavailable("gone")

    with pytest.raises(EngineUnavailable):
        members.acknowledge("m01", ON, release, "kim", "")
    assert members.wish.states["m01"] is MemberState.QUARANTINED
