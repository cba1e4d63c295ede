"""The way back over ensembles that were live before: a real store and real bundles; the engine's answers are the test's."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import make_plain_bundle
from prometheus_client import CollectorRegistry

from atomstream_models.bundle import Bundle, BundleError, open_bundle
from atomstream_service.control._ensembles import Ensembles, reference
from atomstream_service.control._keeper import Keeper
from atomstream_service.control._meters import Meters
from atomstream_service.control._refusal import RequestRefused
from atomstream_service.control._store import Store
from atomstream_service.control._wish import Lineup, Wish
from atomstream_service.members import MemberState
from atomstream_service.transport import CommandRefused, Reply

Make = Callable[..., Ensembles]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    folder = tmp_path_factory.mktemp("bundles")
    return {name: make_plain_bundle(folder / name, name=name) for name in ("live", "last", "before")}


class _Shelf:
    """Opens bundles anew each time, as those that are damaged are; opened : how often each."""

    def __init__(self, bundles: Mapping[str, Bundle]) -> None:
        self._bundles = bundles
        self.damaged: set[str] = set()
        self.opened: list[str] = []

    def __call__(self, name: str, version: str) -> Bundle:
        self.opened.append(name)
        if name in self.damaged:
            raise BundleError("checksum", f"a file of {name} has changed")
        return open_bundle(self._bundles[name].folder)


@pytest.fixture
def shelf(bundles: dict[str, Bundle]) -> _Shelf:
    return _Shelf(bundles)


@pytest.fixture
def make(bundles: dict[str, Bundle], shelf: _Shelf, tmp_path: Path) -> Iterator[Make]:
    """Makes the ensembles of a service whose engine can't take some; before `live`, first `before` was live, then `last`."""
    store = Store(tmp_path / "state")

    def made(refuses: tuple[str, ...] = (), states: Mapping[str, MemberState] | None = None, min_active: int = 1) -> Ensembles:
        def lineup(name: str) -> Lineup:
            members = dict.fromkeys(bundles[name].card.member_ids, MemberState.ENABLED)
            return Lineup(reference(bundles[name]), {**members, **(states or {} if name == "last" else {})}, True)

        def tell(wish: Wish, why: Mapping[str, str], patience_s: float) -> None:
            if wish.live.ensemble.name in refuses:
                raise CommandRefused("load", f"{wish.live.ensemble} can't be loaded any more")

        def call(operation: str, arguments: Mapping[str, Any], buffers: tuple[Any, ...] = (), *, timeout_s: float = 10.0) -> Reply:
            return Reply({"seconds": 0.0})

        keeper = Keeper(Wish(lineup("live"), 5, earlier=(lineup("last"), lineup("before"))), store, tell)
        return Ensembles(keeper, shelf, call, Meters(CollectorRegistry()), min_active=min_active, trial_frames=0, load_s=60)

    yield made
    store.close()


def test_a_first_choice_that_the_engine_gives_back_does_not_make_the_caller_s_generation_stale(make: Make) -> None:
    ensembles = make(refuses=("last",))
    back = ensembles.rollback("kim", "", 5)

    assert ensembles._keeper.wish.live.ensemble.name == "before"
    assert back.generation == ensembles._keeper.wish.generation > 5


def test_what_has_changed_meanwhile_is_still_refused(make: Make) -> None:
    ensembles = make(refuses=("last",))
    with pytest.raises(RequestRefused) as refusal:
        ensembles.rollback("kim", "", 4)

    assert refusal.value.status == 412
    assert ensembles._keeper.wish.live.ensemble.name == "live"


def test_an_ensemble_that_has_too_few_members_enabled_is_passed_by(make: Make) -> None:
    ensembles = make(states={"m00": MemberState.DISABLED}, min_active=2)
    ensembles.rollback("kim", "")

    assert ensembles._keeper.wish.live.ensemble.name == "before"


def test_a_damaged_ensemble_is_read_and_said_once_until_somebody_wants_to_go_back(make: Make, shelf: _Shelf, caplog: pytest.LogCaptureFixture) -> None:
    ensembles = make()
    shelf.damaged = {"last"}
    with caplog.at_level(logging.WARNING):
        seen = [ensembles.rollback_to for _ in range(3)]
    said = [record.getMessage() for record in caplog.records]
    read = shelf.opened.count("last")
    shelf.damaged = set()
    ensembles.rollback("kim", "")

    assert [None if one is None else one.name for one in seen] == ["before"] * 3
    assert (len(said), read) == (1, 1)
    assert ensembles._keeper.wish.live.ensemble.name == "last"
