from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from atomstream_models.shades import fitted, levels, shaded


def grey(frame: NDArray[Any]) -> NDArray[np.uint8]:
    return shaded(frame, *levels(frame))


RAMP = np.linspace(0, 1, 300 * 300).reshape(300, 300)


@pytest.mark.parametrize(
    "frame",
    [
        (RAMP * 60000).astype(np.uint16),
        (RAMP * 100 - 50).astype(np.int8),
        (RAMP * 1e9).astype(np.uint32),
        (5e8 + RAMP).astype(np.float64),
        (RAMP * 1e300).astype(np.float64),
        RAMP.astype(np.float32),
    ],
    ids=lambda frame: str(frame.dtype),
)
def test_a_frame_of_any_kind_of_number_goes_from_black_to_white(frame: NDArray[Any]) -> None:
    picture = grey(frame)

    assert picture.shape == frame.shape
    np.testing.assert_allclose(picture.astype(float), np.clip((RAMP - 0.005) / 0.993, 0, 1) * 255, atol=4)


def test_what_is_no_number_is_black_and_the_infinite_black_or_white() -> None:
    frame = RAMP.astype(np.float32)
    frame[0, :3] = np.nan, np.inf, -np.inf

    assert grey(frame)[0, :3].tolist() == [0, 255, 0]
    assert grey(frame)[150, 150] == pytest.approx(grey(RAMP)[150, 150], abs=1)


@pytest.mark.parametrize("value", [0, 7, np.nan, np.inf])
def test_a_frame_of_one_value_is_a_picture_too(value: float) -> None:
    assert grey(np.full((40, 50), value)).shape == (40, 50)


def test_a_large_picture_is_made_small_and_a_small_one_left_alone() -> None:
    picture = grey(RAMP)

    assert fitted(picture, 300) is picture
    assert fitted(picture[:200], 100).shape == (67, 100)
    assert fitted(picture, 100).mean() == pytest.approx(picture.mean(), abs=1)
