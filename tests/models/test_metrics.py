from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from atomstream_models.metrics import match, score

_points = hnp.arrays(np.float64, st.tuples(st.integers(0, 8), st.just(2)), elements=st.integers(0, 12).map(lambda n: n / 2))


@given(_points, _points)
def test_matching_is_one_to_one_within_the_radius_and_as_large_as_can_be(a: np.ndarray, b: np.ndarray) -> None:
    i, j = match(a, b, 1.1)

    assert len(set(i)) == len(i)
    assert len(set(j)) == len(j)
    assert (np.linalg.norm(a[i] - b[j], axis=1) <= 1.1).all()
    if len(a) and len(b):
        far = cdist(a, b) > 1.1
        p, q = linear_sum_assignment(far)
        assert len(i) == (~far[p, q]).sum()


def test_a_perfect_answer_scores_one() -> None:
    points = np.random.default_rng(0).random((50, 2)) * 100
    found = score(points, points, 1.0)

    assert (found.f1, found.rmse_px, found.missed, found.extra) == (1.0, 0.0, 0, 0)


def test_missed_and_extra_atoms_lower_the_score() -> None:
    true = np.array([[0.0, 0], [10, 0], [20, 0]])
    found = score(np.array([[0.0, 1], [50, 50]]), true, 2.0)

    assert (found.found, found.missed, found.extra) == (1, 2, 1)
    assert found.f1 == pytest.approx(2 / 5)
    assert found.rmse_px == pytest.approx(1.0)


def test_atoms_that_need_not_be_found_neither_help_nor_hurt() -> None:
    true = np.array([[0.0, 0], [10, 0]])
    required = np.array([True, False])

    assert score(true, true, 1.0, required).f1 == 1.0
    assert score(true[:1], true, 1.0, required).f1 == 1.0


def test_nothing_to_find_and_nothing_found_is_right() -> None:
    assert score(np.empty((0, 2)), np.empty((0, 2)), 1.0).f1 == 1.0
