from __future__ import annotations

import math

import numpy as np
import pytest

from atomstream_models.metrics import match
from atomstream_models.neighbours import mutual_f1, nearest_px, neighbour_px


def test_each_position_has_the_distance_to_its_nearest_and_further_columns_do_not_count() -> None:
    rows = np.array([[0, 0, 90], [0, 3, 7], [4, 3, 1]])

    np.testing.assert_allclose(nearest_px(rows), [3, 3, 4])
    assert neighbour_px(rows) == 3.0


@pytest.mark.parametrize("count", [0, 1])
def test_a_lone_atom_has_no_neighbour(count: int) -> None:
    assert nearest_px(np.zeros((count, 10))).shape == (0,)
    assert math.isnan(neighbour_px(np.zeros((count, 10))))


def test_of_positions_far_apart_the_mutually_nearest_are_the_best_matching() -> None:
    rng = np.random.default_rng(0)
    sites = 10.0 * np.argwhere(np.ones((12, 12)))
    one, other = (sites[rng.random(len(sites)) < 0.8] for _ in range(2))
    one, other = one + rng.uniform(-3, 3, one.shape), other + rng.uniform(-3, 3, other.shape)
    pairs, _ = match(one, other, 3.5)

    assert 0.2 < 2 * len(pairs) / (len(one) + len(other)) < 0.8
    assert mutual_f1(one, other, 3.5) == 2 * len(pairs) / (len(one) + len(other))


@pytest.mark.parametrize(
    ("one", "other", "f1"),
    [
        ([], [], 1.0),
        ([(0, 0)], [], 0.0),
        ([(0, 0)], [(0, 2)], 1.0),
        ([(0, 0)], [(0, 2.1)], 0.0),
        ([(0, 0), (0, 0.5)], [(0, 1)], 2 / 3),
    ],
)
def test_only_positions_in_reach_that_are_each_other_s_nearest_are_the_same(
    one: list[tuple[float, float]], other: list[tuple[float, float]], f1: float
) -> None:
    a, b = (np.array(positions, float).reshape(-1, 2) for positions in (one, other))

    assert mutual_f1(a, b, 2.0) == pytest.approx(f1)
    assert mutual_f1(b, a, 2.0) == pytest.approx(f1)
