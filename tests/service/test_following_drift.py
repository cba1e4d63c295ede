"""What the control plane does with what an engine tells of drift: a real journal and real members; the engine's answers are the test's."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from waiting import until

from atomstream_service.control import _keeper
from atomstream_service.control._drift import Drift
from atomstream_service.control._keeper import Keeper, restored
from atomstream_service.control._members import Members
from atomstream_service.control._store import Store
from atomstream_service.control._wish import EnsembleRef, Lineup, Wish
from atomstream_service.drift import DriftSettings, QuarantineSettings
from atomstream_service.members import MemberState
from atomstream_service.transport import EngineSilent, Reply

SHA256 = "a" * 64
IDS = tuple(f"m{k:02d}" for k in range(6))
ON = QuarantineSettings(mode="quarantine")


class _Engine:
    """Tells what the test has it tell; `silent` once, it does not answer the next change of settings, nor carry it out."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.settings: dict[str, Any] = {"settings": DriftSettings().model_dump(mode="json"), "quarantine": ON.model_dump(mode="json")}
        self.silent = False

    def decides(self, *members: str, sha256: str = SHA256) -> None:
        for member in members:
            about = {"number": len(self.told) + 1, "kind": "quarantine", "ensemble": sha256, "source": "scope", "generation": 1}
            self.told.append({**about, "member": member, "reason": f"{member} disagrees, on scope"})

    def call(self, operation: str, arguments: Mapping[str, Any], buffers: tuple[Any, ...] = (), *, timeout_s: float = 10.0) -> Reply:
        if operation == "watch":
            if self.silent:
                self.silent = False
                raise EngineSilent("it starts")
            self.settings = dict(arguments)
        if operation != "drift":
            return Reply({})
        told = [one for one in self.told if one["number"] > arguments["after"]]
        return Reply({"sources": {}, "ensembles": {}, "told": told, "number": len(self.told), "state": {}, **self.settings})


@pytest.fixture
def engine() -> _Engine:
    return _Engine()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path)
    yield made
    made.close()


@pytest.fixture
def keeper(store: Store) -> Keeper:
    def tell(wish: Wish, why: Mapping[str, str], patience_s: float) -> None:
        pass

    lineup = Lineup(EnsembleRef("plain", "1", SHA256), dict.fromkeys(IDS, MemberState.ENABLED), False)
    return Keeper(restored(store, lineup, lambda ref: True), store, tell)


@pytest.fixture
def drift(engine: _Engine, store: Store, keeper: Keeper) -> Iterator[Drift]:
    made = Drift(store, keeper, Members(keeper, 1), engine.call, lambda: 1, watch=DriftSettings(), quarantine=ON, min_active=1)
    made.start()
    yield made
    made.stop()


def _out(keeper: Keeper) -> list[str]:
    return [member for member, state in keeper.wish.states.items() if state is MemberState.QUARANTINED]


def test_a_decision_that_can_not_be_carried_out_at_once_is_tried_again_until_it_can(
    engine: _Engine, drift: Drift, keeper: Keeper, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_keeper, "_TURN_S", 0.05)
    with keeper.turn():
        engine.decides("m02")
        until(lambda: caplog.text, lambda text: "m02 is not taken out yet" in text)
        assert _out(keeper) == []
    until(lambda: _out(keeper), lambda out: out == ["m02"])


def test_no_more_members_go_out_than_the_policy_allows_although_each_was_decided_without_knowing_of_the_others(
    engine: _Engine, drift: Drift, keeper: Keeper, caplog: pytest.LogCaptureFixture
) -> None:
    engine.decides("m00", "m01", "m02", "m03")
    until(lambda: caplog.text, lambda text: "m03 stays" in text)

    assert _out(keeper) == ["m00", "m01", "m02"]


def test_decisions_about_another_ensemble_are_not_carried_out(engine: _Engine, drift: Drift, keeper: Keeper) -> None:
    engine.decides("m00", sha256="b" * 64)
    engine.decides("m01")
    until(lambda: _out(keeper), lambda out: "m01" in out)

    assert _out(keeper) == ["m01"]


def test_an_engine_that_did_not_hear_of_a_policy_is_told_again_and_decides_nothing_meanwhile(engine: _Engine, drift: Drift, keeper: Keeper) -> None:
    engine.silent = True
    with contextlib.suppress(EngineSilent):  # unless the loop that follows the engine was first to tell it, in vain
        drift.set_policy(QuarantineSettings(), None, "kim", "by hand from here on")
    engine.decides("m00")
    until(lambda: engine.settings["quarantine"]["mode"], lambda mode: mode == "advice")

    assert _out(keeper) == []


def test_what_an_alarm_says_is_journalled_once(engine: _Engine, drift: Drift, store: Store) -> None:
    for k, kind in enumerate(("alarm", "over"), 1):
        engine.told.append({"number": k, "kind": kind, "member": "m01", "cause": "member", "message": "as such", "source": "scope", "generation": 1})
    lines = until(lambda: [line["action"] for line in store.journal()], lambda actions: "drift_over" in actions)

    assert lines[-2:] == ["drift_alarm", "drift_over"]
