from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from atomstream_models.brightness import intensities
from atomstream_models.classify import Classification, automatic_threshold, by_gmm, by_kmeans, by_threshold, classify
from atomstream_models.classify._classify import Method
from atomstream_models.errors import InputError
from atomstream_models.simulation import HOST, IMPURITY, MicroscopeFrame, SimulatedMicroscope, labelled


def movie(frames: int, seed: int = 5) -> list[MicroscopeFrame]:
    microscope = SimulatedMicroscope(seed, (256, 256))
    return [microscope.next_frame() for _ in range(frames)]


def impurity_f1(labels: NDArray[np.int64], kinds: NDArray[np.int64]) -> float:
    found, true = labels == 1, kinds == IMPURITY
    return float(2 * np.sum(found & true) / (found.sum() + true.sum()))


@pytest.mark.parametrize("method", ["automatic", "kmeans", "gmm"])
def test_impurities_are_told_from_hosts_while_the_microscope_drifts(method: Method) -> None:
    frames = movie(24)[::6]
    atoms = [frame.atoms_yx[labelled(frame)] for frame in frames]
    kinds = np.concatenate([frame.kinds[labelled(frame)] for frame in frames])
    labels = np.concatenate(classify([frame.image for frame in frames], atoms, Classification(method=method)).labels)

    assert np.mean(kinds == IMPURITY) < 0.02
    assert impurity_f1(labels, kinds) > 0.95


def test_the_host_has_brightness_one_whatever_the_dose() -> None:
    frame = movie(1)[0]
    atoms = frame.atoms_yx[labelled(frame) & (frame.kinds == HOST)]
    plain, brighter = (intensities(image, atoms) for image in (frame.image, 3.0 * frame.image + 500))

    assert np.median(plain) == pytest.approx(1)
    np.testing.assert_allclose(plain, brighter, rtol=1e-9)


def test_a_ring_takes_uneven_background_off() -> None:
    y, x = np.mgrid[:100, :100]
    image = 10.0 * x
    atoms = np.array([(20.0, 20.0), (50.0, 50.0), (70.0, 80.0)])
    for cy, cx in atoms:
        image += 100 * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 8)
    with_ring = intensities(image, atoms, 2.0)
    with_frame = intensities(image, atoms, 2.0, background="frame")

    np.testing.assert_allclose(with_ring, 1, atol=0.02)
    assert np.ptp(with_frame) > 1


def test_an_atom_on_the_border_counts_only_the_pixels_that_are_there() -> None:
    values = intensities(np.full((20, 20), 7.0), np.array([(0.0, 0.0), (19.4, 10.0), (10.0, 10.0)]), 3.0, background="frame", normalise=False)

    np.testing.assert_allclose(values, 0)


def test_no_atoms_have_no_intensities() -> None:
    assert intensities(np.ones((20, 20)), np.empty((0, 2))).shape == (0,)


@pytest.mark.parametrize(("share", "ratio"), [(0.0005, 4.0), (0.01, 2.0), (0.5, 1.8)])
def test_the_threshold_lies_between_rare_and_frequent_kinds_alike(share: float, ratio: float) -> None:
    rng = np.random.default_rng(0)
    rare = max(1, round(2000 * share))
    values = np.concatenate([rng.normal(1, 0.12, 2000 - rare), rng.normal(ratio, 0.12, rare)])
    threshold = automatic_threshold(values)

    assert threshold is not None
    assert np.array_equal(by_threshold(values, threshold) == 1, np.arange(2000) >= 2000 - rare)


@pytest.mark.parametrize("values", [np.random.default_rng(1).normal(1, 0.3, 1000), np.random.default_rng(1).uniform(0, 1, 1000), np.ones(50), np.ones(3), []])
def test_one_kind_is_not_cut(values: NDArray[np.float64]) -> None:
    assert automatic_threshold(np.asarray(values, np.float64)) is None


def test_a_movie_without_impurities_has_one_class_only() -> None:
    frame = movie(1)[0]
    hosts = frame.atoms_yx[labelled(frame) & (frame.kinds == HOST)]
    result = classify([frame.image], [hosts])

    assert result.counts == (len(hosts), 0)
    assert result.thresholds == ()


def test_a_frame_may_lack_a_class() -> None:
    frame = movie(1)[0]
    wanted = labelled(frame)
    hosts, everything = frame.atoms_yx[wanted & (frame.kinds == HOST)], frame.atoms_yx[wanted]
    result = classify([frame.image, frame.image], [everything, hosts])

    assert result.labels[0].max() == 1
    assert result.labels[1].max() == 0


def test_fixed_thresholds_divide_into_one_class_more() -> None:
    np.testing.assert_array_equal(by_threshold(np.array([0.5, 1.5, 9.0]), [2.0, 1.0]), [0, 1, 2])


@pytest.mark.parametrize("method", [by_gmm, by_kmeans])
def test_classes_rise_with_brightness(method: object) -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(5, 0.2, 100), rng.normal(1, 0.2, 300), rng.normal(3, 0.2, 100)])
    labels = method(values, 3)  # type: ignore[operator]

    np.testing.assert_array_equal(labels, np.repeat([2, 0, 1], [100, 300, 100]))


def test_two_equally_frequent_sites_are_told_apart_by_their_patches() -> None:
    y, x = np.mgrid[:192, :192]
    bright = np.array([(a, b) for a in range(12, 190, 24) for b in range(12, 190, 24)], float)
    dark = bright - 12
    image = np.random.default_rng(0).normal(0, 0.05, y.shape)
    for height, sites in ((1.0, bright), (0.7, dark)):
        for cy, cx in sites:
            image += height * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 18)
    (labels,) = classify([image], [np.concatenate([bright, dark])], Classification(method="patches")).labels

    np.testing.assert_array_equal(labels, np.repeat([1, 0], [len(bright), len(dark)]))


def test_settings_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(InputError, match="3 classes need 2 thresholds, 1 are given"):
        Classification(method="threshold", classes=3, thresholds=(1.0,))
    with pytest.raises(InputError, match="not 3"):
        Classification(classes=3)
    with pytest.raises(InputError, match="1 atoms can't be divided into 2 classes"):
        by_gmm(np.ones(1))
