from __future__ import annotations

import numpy as np
import pytest

from atomstream_models.normalize import UnknownNormalization, minmax, normalizer, robust


def _noise(shape: tuple[int, int] = (128, 160)) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 1, shape)


@pytest.mark.parametrize("dtype", ["<u2", ">u2", "<u4", "<i4", ">f4", "<f8"])
def test_scale_offset_and_dtype_of_the_detector_do_not_matter(dtype: str) -> None:
    frame = np.rint(100 * _noise() + 1000)

    np.testing.assert_allclose(robust(frame.astype(dtype)), robust(frame), atol=1e-4)
    np.testing.assert_allclose(robust((7 * frame + 90).astype(np.float64)), robust(frame), atol=1e-4)


def test_a_small_contrast_on_a_large_offset_survives() -> None:
    frame = _noise()

    np.testing.assert_allclose(robust(frame + 1e7), robust(frame), atol=1e-4)


def test_a_few_bright_pixels_do_not_move_the_rest() -> None:
    frame = _noise()
    bright = frame.copy()
    bright[10:16, 10:16] = 1e6

    np.testing.assert_allclose(robust(bright)[40:, 40:], robust(frame)[40:, 40:], atol=0.02)
    assert robust(bright).max() == 24


def test_astronomical_values_are_normalised_too() -> None:
    np.testing.assert_allclose(robust((1e30 * _noise()).astype(np.float32)), robust(_noise()), atol=1e-4)


def test_a_silent_background_does_not_blow_up() -> None:
    frame = np.zeros((64, 64))
    frame[30, 30] = 1.0

    assert np.isfinite(robust(frame)).all()


@pytest.mark.parametrize("function", [robust, minmax])
def test_a_constant_frame_gives_zeros(function: object) -> None:
    assert not function(np.full((16, 16), 5, np.uint16)).any()  # type: ignore[operator]


def test_minmax_is_that_of_atomai() -> None:
    frame = np.array([[2, 4], [6, 10]], np.uint16)

    np.testing.assert_allclose(minmax(frame), [[0, 0.25], [0.5, 1]])


@pytest.mark.parametrize(("name", "parameters"), [("zscore", {}), ("robust", {"sigma": 1}), ("robust", {"low": 90, "high": 10}), ("minmax", {"low": 1})])
def test_an_unknown_normalisation_is_refused_by_name(name: str, parameters: dict[str, object]) -> None:
    with pytest.raises(UnknownNormalization, match=name):
        normalizer(name, parameters)
