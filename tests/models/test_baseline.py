from __future__ import annotations

import numpy as np
import pytest
from conftest import REAL_FRAMES, real_frames
from numpy.typing import NDArray

from atomstream_models.baseline import filled, lattice_period_px, log_atoms, noise_level
from atomstream_models.errors import InputError
from atomstream_models.metrics import score
from atomstream_models.simulation import SimulatedMicroscope, labelled


def noise(shape: tuple[int, int] = (128, 128), seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(100, 5, shape)


def spots(centres: list[tuple[float, float]], height: float, sigma: float = 3.0, shape: tuple[int, int] = (128, 128)) -> NDArray[np.float64]:
    y, x = np.mgrid[: shape[0], : shape[1]]
    image = noise(shape)
    for cy, cx in centres:
        image += height * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * sigma**2))
    return image


def test_a_mild_frame_is_found_whole() -> None:
    frame = SimulatedMicroscope(5, (256, 256)).next_frame()
    found = log_atoms(frame.image)
    result = score(found[:, :2], frame.atoms_yx, 0.35 * frame.neighbour_px, labelled(frame))

    assert result.f1 > 0.99
    assert result.rmse_px < 0.6


def test_no_atom_is_found_twice() -> None:
    frame = SimulatedMicroscope(5, (256, 256)).next_frame()
    found = log_atoms(frame.image)[:, :2]
    distance = np.linalg.norm(found[:, None] - found[None], axis=2) + 1e9 * np.eye(len(found))

    assert distance.min() > 0.5 * frame.neighbour_px


def test_single_atoms_on_a_support_are_found_with_sub_pixel_positions_and_their_width() -> None:
    centres = [(30.3, 40.7), (64.0, 90.4), (101.6, 22.2)]
    found = log_atoms(spots(centres, 60.0))

    assert found.shape == (3, 4)
    np.testing.assert_allclose(found[:, :2], centres, atol=0.3)
    assert np.all((found[:, 3] > 2) & (found[:, 3] < 4.5))


def test_a_spot_on_the_border_stays_inside_the_frame() -> None:
    found = log_atoms(spots([(0.0, 60.0), (127.0, 127.0)], 80.0))

    assert len(found) == 2
    assert np.all((found[:, :2] >= -0.5) & (found[:, :2] <= 127.5))


def test_a_constant_frame_has_no_atoms() -> None:
    assert log_atoms(np.full((64, 64), 7, np.uint16)).shape == (0, 4)


def test_noise_alone_has_hardly_an_atom() -> None:
    assert len(log_atoms(noise((256, 256)))) <= 2


def test_a_frame_that_is_not_finite_is_refused_with_the_number_of_pixels() -> None:
    frame = noise()
    frame[3, 4:6] = np.nan
    with pytest.raises(InputError, match="2 of 16384 pixels are not finite"):
        log_atoms(frame)


def test_what_is_not_finite_is_filled_with_the_median_and_with_nothing_where_that_is_unknown() -> None:
    frame = noise()
    cut = frame.copy()
    cut[100:], cut[0, 0] = np.nan, np.inf

    np.testing.assert_array_equal(filled(cut)[1:100], frame[1:100])
    assert (filled(cut)[100:] == np.median(cut[np.isfinite(cut)])).all()
    assert filled(frame) is frame
    assert not filled(np.full((64, 64), np.nan)).any()


@pytest.mark.parametrize("setting", [{"scale_px": 0.0}, {"threshold": -1.0}])
def test_a_setting_that_is_not_positive_is_refused_by_name(setting: dict[str, float]) -> None:
    with pytest.raises(InputError, match=f"{next(iter(setting))} = "):
        log_atoms(noise(), **setting)


def test_a_stack_is_refused_with_its_shape() -> None:
    with pytest.raises(InputError, match=r"\[2, 64, 64\]"):
        log_atoms(np.zeros((2, 64, 64)))


def test_a_higher_threshold_keeps_the_stronger_atoms_only() -> None:
    frame = spots([(30.0, 40.0), (64.0, 90.0)], 40.0)
    frame[95:106, 15:26] += 400 * np.exp(-((np.mgrid[-5:6, -5:6] ** 2).sum(axis=0)) / 18)
    strengths = log_atoms(frame, scale_px=3.0)[:, 2]
    found = log_atoms(frame, scale_px=3.0, threshold=0.9 * float(strengths.max()))

    np.testing.assert_allclose(found[:, :2], [(100, 20)], atol=0.3)


def test_the_period_of_graphene_is_one_and_a_half_bonds() -> None:
    frame = SimulatedMicroscope(5, (256, 256)).next_frame()

    assert lattice_period_px(frame.image) == pytest.approx(1.5 * frame.neighbour_px, rel=0.05)


def test_noise_shows_no_lattice() -> None:
    assert lattice_period_px(noise((256, 256))) is None


def test_the_noise_of_a_counting_detector_grows_with_the_brightness() -> None:
    rng = np.random.default_rng(0)
    mean = np.repeat(np.linspace(20, 500, 256)[:, None], 256, axis=1)
    level = noise_level(rng.poisson(mean).astype(np.float32))

    np.testing.assert_allclose(level[10:-10], np.sqrt(mean[10:-10]), rtol=0.12)


@real_frames
def test_three_silicon_atoms_are_found_in_a_real_noisy_frame() -> None:
    with np.load(REAL_FRAMES / "graphene_si_movie.npz") as file:
        found = log_atoms(file["images"][0])

    np.testing.assert_allclose(found[:, :2], [(91.6, 149.1), (99.8, 120.7), (119.1, 142.5)], atol=2)


@real_frames
def test_most_labelled_platinum_atoms_are_found_on_real_carbon() -> None:
    with np.load(REAL_FRAMES / "pt_on_carbon_021.npz") as file:
        result = score(log_atoms(file["image"])[:, :2], file["atoms_yx"].astype(float), 5.0)

    assert result.f1 > 0.7
