from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from conftest import dots

from atomstream_models.ahead import ahead
from atomstream_models.analysis import FrameRefused, infer, prepare
from atomstream_models.bundle import Bundle
from atomstream_models.evaluation import evaluate, summary
from atomstream_models.runtime import Loader, _look, load_ensemble, look
from atomstream_models.runtime._openvino import openvino_ways


def test_results_come_in_order_whoever_is_done_first() -> None:
    second_is_done = threading.Event()

    def call(item: int) -> int:
        if item == 0:
            assert second_is_done.wait(10)
        if item == 1:
            second_is_done.set()
        return -item

    assert list(ahead(call, range(5), 2)) == [0, -1, -2, -3, -4]
    assert not list(ahead(call, [], 3))


@pytest.mark.parametrize("at_once", [1, 3])
def test_no_more_is_begun_than_is_allowed_and_items_are_taken_by_who_takes_results(at_once: int) -> None:
    taken: list[int] = []
    by: set[int] = set()

    def items() -> Iterator[int]:
        for k in range(10):
            taken.append(k)
            by.add(threading.get_ident())
            yield k

    for k, result in enumerate(ahead(str, items(), at_once)):
        assert result == str(k)
        assert len(taken) <= k + 1 + at_once
    assert by == {threading.get_ident()}


def test_what_goes_wrong_is_raised_in_its_turn_and_ends_the_work() -> None:
    done: list[int] = []

    def call(item: int) -> int:
        if item == 2:
            raise KeyError(item)
        done.append(item)
        return item

    got: list[int] = []
    with pytest.raises(KeyError, match="2"):
        got.extend(ahead(call, range(100), 2))
    assert got == [0, 1]
    assert set(done) <= {0, 1, 3, 4}


def test_who_wants_no_more_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    results = ahead(str, iter(range(1000)), 4)
    assert next(results) == "0"
    assert isinstance(results, Iterator)
    results.close()  # type: ignore[attr-defined]

    assert threading.active_count() == before


@pytest.mark.parametrize("count", [1, 8])
@pytest.mark.parametrize("threads", [1, 3])
def test_frames_looked_at_side_by_side_give_the_very_numbers_of_one_after_the_other(graphene: Bundle, count: int, threads: int) -> None:
    ensemble = load_ensemble(graphene, "cpu", threads)
    members = graphene.card.member_ids[:count]
    rng = np.random.default_rng(0)
    frames = [dots((64, 72), [(20.0, 30.0), (40.0, 50.0)]) + rng.normal(0, 0.1, (64, 72)) for _ in range(7)]
    frames.append(np.zeros((64, 72)))
    wanted = [infer(prepare(frame, None, graphene.card), graphene.card, members, ensemble.answer) for frame in frames]
    got = list(look(ensemble, frames, None, members))

    for one, other in zip(got, wanted, strict=True):
        assert one.members_used == other.members_used
        np.testing.assert_array_equal(one.mean, other.mean)
        for mine, its in zip(one.maps, other.maps, strict=True):
            np.testing.assert_array_equal(mine, its)
    figures = summary(evaluate(enumerate(look(ensemble, frames, None, members)), graphene.card))
    np.testing.assert_equal(figures, summary(evaluate(enumerate(wanted), graphene.card)))


def test_a_frame_that_is_refused_is_refused_in_its_turn(plain_bundle: Bundle) -> None:
    good = dots((64, 64), [(20.0, 30.0)])
    looked = look(load_ensemble(plain_bundle, "cpu"), [good, good[:3, :3], good], None)

    assert next(looked).members_used == ("m00", "m01")
    with pytest.raises(FrameRefused, match="3x3"):
        next(looked)


def test_so_many_frames_are_looked_at_as_keep_the_processors_busy_and_fit_into_memory(plain_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    members = load_ensemble(plain_bundle, "cpu", 4).members
    assert [members.frames_at_once(count) for count in (1, 2, 8)] == [5, 3, 2]

    asked: list[int] = []

    def noted(call: Any, items: Any, at_once: int) -> Iterator[Any]:
        asked.append(at_once)
        return ahead(call, items, at_once)

    monkeypatch.setattr(_look, "ahead", noted)
    monkeypatch.setattr(_look, "_MOST_BYTES", 3 * 4 * 64 * 64 * 4)
    ensemble = load_ensemble(plain_bundle, "cpu", 64)
    for side in (16, 64, 512):
        list(look(ensemble, [dots((side, side), [(8.0, 8.0)])] * 2, None))

    assert asked == [33, 3, 1]


@pytest.mark.skipif(not openvino_ways(fast=False)[0], reason="openvino is not installed")
def test_sessions_that_can_not_be_shared_run_one_frame_at_a_time(plain_bundle: Bundle) -> None:
    ensemble = Loader("cpu", runtime="openvino").load(plain_bundle)

    assert ensemble.members.frames_at_once(1) == 1
