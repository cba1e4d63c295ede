"""Scans in the engine: what is followed, and what becomes of it where something goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

import numpy as np
import pytest
from numpy.typing import NDArray

from atomstream_models.analysis import Prepared, prepare
from atomstream_models.bundle import Bundle
from atomstream_models.runtime import LoadedEnsemble, load_ensemble, open_strips
from atomstream_models.runtime._strips import PooledStripMembers
from atomstream_models.simulation import SimulatedMicroscope
from atomstream_service.engine._scans import Scans
from atomstream_service.engine._work import Active, Job
from atomstream_service.members import MemberState
from atomstream_wire import Frame

IMAGE: NDArray[np.uint16] = SimulatedMicroscope(5, (128, 96)).next_frame().image


@pytest.fixture
def active(graphene: Bundle) -> Active:
    ensemble = load_ensemble(graphene, "cpu")
    ensemble.strips = open_strips(ensemble, 16, 2)
    states = {member: MemberState.ENABLED if member in ("m00", "m01") else MemberState.DISABLED for member in graphene.card.member_ids}
    return Active(ensemble, 1, states, selected=True)


class _Aside:
    """What is to be done once no frame waits; done when told."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    def __call__(self, call: Callable[[], None]) -> None:
        self.waiting.append(call)

    def go_on(self) -> None:
        while self.waiting:
            self.waiting.pop(0)()


@pytest.fixture
def aside() -> _Aside:
    return _Aside()


@pytest.fixture
def scans(active: Active, aside: _Aside) -> Scans:
    """One that knows the scaling of the frame before."""
    scans = Scans(aside, lambda: (active, ()))
    _complete(scans, active, 0)
    return scans


def _job(number: int, rows: int | None = None) -> Job:
    about = {} if rows is None else {"complete": False, "valid_rows": (0, rows)}
    frame = Frame({"HAADF": IMAGE}, "session", 1, "scope", frame=number, **about)  # type: ignore[arg-type]
    return Job(frame, "HAADF", IMAGE, 0.0, 0.0)


def _complete(scans: Scans, active: Active, number: int) -> tuple[Prepared, list[NDArray[np.float32]]]:
    job = _job(number)
    prepared = prepare(IMAGE, None, active.ensemble.card, carried=scans.carried(job, active))
    assert prepared.tensor is not None
    return prepared, scans.run_for(job, active, prepared)(prepared.tensor, ["m00", "m01"]).maps


def _whole(ensemble: LoadedEnsemble, prepared: Prepared) -> NDArray[np.float32]:
    assert prepared.tensor is not None
    return np.stack(ensemble.run(prepared.tensor, ["m00", "m01"]))


def _fail(inputs: object) -> NoReturn:
    raise RuntimeError("out of memory")


def test_only_the_newest_rows_are_looked_at_and_once(scans: Scans, active: Active, aside: _Aside) -> None:
    for rows in (16, 40, 90):
        scans.offer(_job(1, rows))

    assert len(aside.waiting) == 1
    aside.go_on()
    prepared, maps = _complete(scans, active, 1)
    np.testing.assert_allclose(np.stack(maps), _whole(active.ensemble, prepared), atol=2e-6)
    assert scans.summary() == {"followed": 1, "whole": 0}


@pytest.mark.parametrize("fails_after_rows", [0, 64])
def test_where_a_member_fails_while_it_is_followed_the_frame_is_run_whole(scans: Scans, active: Active, aside: _Aside, fails_after_rows: int) -> None:
    strips = active.ensemble.strips
    assert isinstance(strips, PooledStripMembers)
    if fails_after_rows:
        scans.offer(_job(1, fails_after_rows))
        aside.go_on()
        strips.members["m01"].call_last = _fail
    else:
        strips.members["m01"].call = _fail
        for rows in (16, 32, 48):
            scans.offer(_job(1, rows))
            aside.go_on()
        assert scans._scans["scope"].scan is None
    prepared, maps = _complete(scans, active, 1)

    np.testing.assert_allclose(np.stack(maps), _whole(active.ensemble, prepared), atol=2e-6)
    assert scans.followed == 0


def test_what_still_waits_when_the_engine_stops_is_let_be(scans: Scans, active: Active, aside: _Aside) -> None:
    scans.offer(_job(1, 64))
    scans.close()
    active.ensemble.close()
    aside.go_on()

    assert not scans._scans


def test_scans_of_an_ensemble_that_is_gone_are_let_go(scans: Scans, active: Active, aside: _Aside, graphene: Bundle) -> None:
    scans.offer(_job(1, 64))
    aside.go_on()
    assert scans._scans["scope"].strips is active.ensemble.strips
    active.ensemble.strips = open_strips(load_ensemble(graphene, "cpu"), 16, 2)
    scans.offer(_job(1, 16))
    aside.go_on()

    assert scans._scans["scope"].strips is active.ensemble.strips
