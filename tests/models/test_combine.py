from __future__ import annotations

import numpy as np
import pytest

from atomstream_models.combine import mean_std


@pytest.mark.parametrize("members", [2, 3, 8])
@pytest.mark.parametrize("shape", [(1, 7, 9), (2, 200, 301)])
def test_mean_and_std_are_those_over_the_members(members: int, shape: tuple[int, ...]) -> None:
    maps = np.random.default_rng(members).random((members, *shape), np.float32)
    mean, std = mean_std(list(maps))

    assert std is not None
    np.testing.assert_allclose(mean, maps.mean(axis=0, dtype=np.float64), atol=1e-6)
    np.testing.assert_allclose(std, maps.std(axis=0, dtype=np.float64), atol=1e-6)


def test_a_tiny_spread_on_a_large_mean_is_kept() -> None:
    maps = [np.full((1, 4, 4), 1 - k * 1e-5, np.float32) for k in range(3)]
    _, std = mean_std(maps)

    assert std is not None
    np.testing.assert_allclose(std, float(np.std([0, 1e-5, 2e-5])), rtol=0.02)


def test_the_std_of_one_member_is_unknown() -> None:
    assert mean_std([np.ones((1, 4, 4), np.float32)])[1] is None


def test_no_member_is_an_error() -> None:
    with pytest.raises(ValueError, match="no member"):
        mean_std([])
