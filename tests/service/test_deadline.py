from __future__ import annotations

import pytest
from conftest import make_plain_bundle

from atomstream_models.bundle import Bundle, Card
from atomstream_service.engine._deadline import Deadline, Order

PIXELS = 1_000_000
IDS = [f"m{k:02d}" for k in range(6)]


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Card:
    bundle: Bundle = make_plain_bundle(tmp_path_factory.mktemp("six"), biases=(-1.0,) * 6)
    scores = (0.9, 0.95, 0.8, 0.99, 0.7, 0.85)
    members = [one.model_copy(update={"metrics": {"validation_f1": score}}) for one, score in zip(bundle.card.members, scores, strict=True)]
    return bundle.card.model_copy(update={"members": tuple(members)})


def _deadline(budget_ms: float, order: Order = "rank", turn_ms: float = 10.0, afterwards_ms: float = 5.0) -> Deadline:
    """One that has seen a frame on which a turn of two members took `turn_ms`."""
    deadline = Deadline(budget_ms, order)
    deadline.ran(6, 2, PIXELS, 3 * turn_ms)
    deadline.finished(PIXELS, afterwards_ms)
    return deadline


def test_before_anything_is_known_all_run(card: Card) -> None:
    assert Deadline(1.0, "rank").choose(IDS, card, 2, PIXELS, 0.0) == IDS


@pytest.mark.parametrize(("budget_ms", "count"), [(100.0, 6), (36.0, 6), (34.0, 4), (24.0, 2), (1.0, 2)])
def test_as_many_members_run_as_are_done_in_time_and_at_least_one_turn(card: Card, budget_ms: float, count: int) -> None:
    assert len(_deadline(budget_ms).choose(IDS, card, 2, PIXELS, 1.0)) == count


def test_a_frame_of_a_quarter_of_the_pixels_has_time_for_four_times_the_turns(card: Card) -> None:
    assert len(_deadline(10.0).choose(IDS, card, 2, PIXELS // 4, 0.0)) == 6
    assert len(_deadline(10.0).choose(IDS, card, 2, PIXELS, 0.0)) == 2


def test_by_rank_the_best_members_run_in_the_cards_order(card: Card) -> None:
    deadline = _deadline(24.0)

    assert [deadline.choose(IDS, card, 2, PIXELS, 0.0) for _ in range(3)] == [["m01", "m03"]] * 3
    assert deadline.choose(["m00", "m02", "m04"], card, 2, PIXELS, 0.0) == ["m00", "m02"]


def test_in_rotation_all_members_take_their_turns(card: Card) -> None:
    deadline = _deadline(24.0, "rotate")

    assert [deadline.choose(IDS, card, 2, PIXELS, 0.0) for _ in range(4)] == [["m00", "m01"], ["m02", "m03"], ["m04", "m05"], ["m00", "m01"]]


def test_when_turns_get_faster_more_members_run_again(card: Card) -> None:
    deadline = _deadline(34.0, turn_ms=30.0)
    few = deadline.choose(IDS, card, 2, PIXELS, 0.0)
    for _ in range(30):
        deadline.ran(len(few), 2, PIXELS, 5.0)

    assert len(few) == 2
    assert deadline.choose(IDS, card, 2, PIXELS, 0.0) == IDS
    assert (deadline.summary()["members"], deadline.summary()["of"]) == (6, 6)
