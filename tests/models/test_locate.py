from __future__ import annotations

import subprocess
import sys

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from atomstream_models.combine import mean_std
from atomstream_models.locate import COLUMNS, locate
from atomstream_models.locate._border import border_of
from atomstream_models.locate._cells import cells_around
from atomstream_models.locate._outlines import outlines_of
from atomstream_models.locate._peaks import last_of_level
from atomstream_models.metrics import match
from atomstream_models.simulation import soft_disks

Y, X, CLASS, P, P_STD, VOTES, SIGMA_Y, SIGMA_X, AREA, ID = range(len(COLUMNS))


def _map(centres: list[tuple[float, float]], radius: float = 4.0, shape: tuple[int, int] = (64, 80)) -> NDArray[np.float32]:
    return soft_disks(np.array(centres, float).reshape(-1, 2), radius, shape)


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6), st.floats(-2, 2), st.floats(-2, 2)), min_size=1, max_size=20, unique_by=lambda cell: cell[:2]),
    st.floats(2.0, 5.0),
)
def test_atoms_placed_at_random_come_back_within_a_tenth_of_a_pixel(cells: list[tuple[int, int, float, float]], radius: float) -> None:
    true = np.array([(12 + 18 * row + dy, 12 + 18 * column + dx) for row, column, dy, dx in cells])
    mean = _map([tuple(one) for one in true], radius, (100, 140))[None]
    atoms = locate(mean, None, (), 0.5)
    i, j = match(atoms[:, :2], true, 1.0)

    assert len(atoms) == len(true) == len(i)
    assert np.abs(atoms[i, :2] - true[j]).max() < 0.1


def test_no_atoms_is_no_rows() -> None:
    assert locate(np.zeros((2, 32, 48), np.float32), None, (), 0.5).shape == (0, 10)


@pytest.mark.parametrize("gap", [1.5, 1.7, 2.0, 2.3])
def test_touching_atoms_count_apart(gap: float) -> None:
    true = [(30.0, 30.0), (30.0, 30.0 + gap * 4), (30.0 + gap * 4, 30.0)]
    atoms = locate(_map(true)[None], None, (), 0.5)
    i, _ = match(atoms[:, :2], np.array(true), 1.2)

    assert len(atoms) == len(i) == 3


def test_a_frame_full_of_touching_atoms_is_counted_right() -> None:
    true = [(8.0 + 7.0 * i, 8.0 + 7.0 * j) for i in range(8) for j in range(10)]
    atoms = locate(_map(true)[None], None, (), 0.5)
    i, _ = match(atoms[:, :2], np.array(true), 1.0)

    assert len(atoms) == len(i) == 80


def test_a_broad_atom_with_ripples_is_one() -> None:
    rng = np.random.default_rng(0)
    mean = np.clip(_map([(30, 30), (30, 60)], 8.0) + rng.normal(0, 0.03, (64, 80)), 0, 1).astype(np.float32)[None]

    assert len(locate(mean, None, (), 0.5)) == 2


def test_a_flat_top_is_one_atom() -> None:
    mean = np.zeros((1, 40, 40), np.float32)
    mean[0, 10:17, 20:27] = 1.0
    atoms = locate(mean, None, (), 0.5)

    assert len(atoms) == 1
    np.testing.assert_allclose(atoms[0, [Y, X]], [13, 23], atol=0.5)


@pytest.mark.parametrize("radius", [20.0, 60.0])
def test_a_saturated_patch_does_not_hide_the_atoms(radius: float) -> None:
    true = [(12.0 + 20 * i, 12.0 + 20 * j) for i in range(14) for j in range(14)]
    mean = np.maximum(_map(true, 4.0, (300, 300)), (_map([(150, 150)], radius, (300, 300)) > 0.5).astype(np.float32))[None]
    far = [one for one in true if np.hypot(one[0] - 150, one[1] - 150) > radius + 10]
    i, _ = match(locate(mean, None, (), 0.5)[:, :2], np.array(far), 1.0)

    assert len(i) == len(far)


def test_a_frame_that_is_above_threshold_everywhere_is_no_crash() -> None:
    assert locate(np.full((1, 40, 56), 0.9, np.float32), None, (), 0.5).shape[1] == 10


def test_an_atom_cut_by_the_border_is_found() -> None:
    atoms = locate(_map([(0.5, 40.0), (63.0, 79.0)])[None], None, (), 0.5)

    assert len(atoms) == 2


_WHOLE = [(20.0, 20.0), (20.3, 40.0), (40.0, 20.6), (40.0, 60.4)]


@pytest.mark.parametrize("depth", [0.0, 0.4, 1.0, 1.7, 2.5, 3.3, 4.0, 5.0])
@pytest.mark.parametrize("radius", [2.5, 4.0, 6.0])
def test_an_atom_cut_by_the_border_lies_where_the_whole_one_does(depth: float, radius: float) -> None:
    cut = [(depth, 30.3), (63 - depth, 50.6), (30.7, depth), (31.2, 79 - depth), (depth, depth), (63 - depth, 79 - depth)]
    atoms = locate(_map(_WHOLE + cut, radius)[None], None, (), 0.5)
    i, j = match(atoms[:, :2], np.array(_WHOLE + cut), 2.0)

    assert len(atoms) == len(i) == 10
    assert np.abs(atoms[i, :2] - np.array(_WHOLE + cut)[j]).max() < 0.15


def test_positions_stay_in_the_frame_where_an_atom_lies_outside() -> None:
    atoms = locate(_map([*_WHOLE, (-1.5, 30.0), (64.5, 50.0), (31.0, -2.0), (31.0, 81.0)])[None], None, (), 0.5)
    pixel = np.rint(atoms[:, :2])

    assert len(atoms) == 8
    assert pixel.min() == 0
    assert pixel.max(axis=0).tolist() == [63, 79]


def test_a_smaller_atom_that_the_border_does_not_cut_stays_where_it_is() -> None:
    small = np.maximum(_map(_WHOLE, 5.0), _map([(2.6, 60.0)], 2.0))[None]
    atoms = locate(small, None, (), 0.5)

    np.testing.assert_allclose(atoms[0, [Y, X]], [2.6, 60.0], atol=0.1)


def test_without_a_whole_atom_a_cut_one_lies_at_the_centroid_of_what_is_seen() -> None:
    mean = _map([(0.0, 40.0)])[None]
    weight = np.maximum(mean[0] - 0.5, 0)

    assert locate(mean, None, (), 0.5)[0, Y] == pytest.approx((weight.sum(axis=1) @ np.arange(64)) / weight.sum(), rel=1e-5)


def test_an_atom_of_a_single_pixel_beside_its_top_has_the_least_radius_whatever_rounding_does() -> None:
    weights = np.zeros((30, 40), np.float32)
    weights[17, 21] = 0.013076016
    weights[16, 21] = 1.7723108e-18
    outlines = outlines_of(weights, weights[None], cells_around(np.array([15 * 40 + 20]), 1.0, (30, 40)), 0.0)

    assert border_of(outlines, (30, 40)).radius_px == 0.5


def test_the_class_is_the_one_with_the_most_probability() -> None:
    host, impurity = _map([(20, 20)]), _map([(20, 31), (50, 60)])
    atoms = locate(np.stack([np.minimum(host, 1 - impurity), impurity]), None, (), 0.5)

    assert atoms[np.argsort(atoms[:, X]), CLASS].tolist() == [0, 1, 1]


def test_p_and_p_std_are_those_at_the_centre() -> None:
    members = [0.8 * _map([(20, 20)])[None], 1.0 * _map([(20, 20)])[None]]
    mean, std = mean_std(members)
    atoms = locate(mean, std, members, 0.5)

    np.testing.assert_allclose(atoms[0, [P, P_STD]], [mean[0, 20, 20], mean[0, 20, 20] / 9], rtol=1e-3)


def test_p_std_is_nan_where_std_is_unknown() -> None:
    one = _map([(20, 20)])[None]
    atoms = locate(one, None, [one], 0.5)

    assert np.isnan(atoms[0, [P_STD, SIGMA_Y, SIGMA_X]]).all()
    assert atoms[0, VOTES] == 1


def test_votes_count_the_members_that_see_the_atom_themselves() -> None:
    both, first = _map([(20, 20), (20, 60)])[None], _map([(20, 20)])[None]
    members = [both, both, first]
    mean, std = mean_std(members)
    atoms = locate(mean, std, members, 0.5)
    atoms = atoms[np.argsort(atoms[:, X])]

    assert atoms[:, VOTES].tolist() == [3, 2]


def test_an_even_fog_is_no_vote() -> None:
    clear, fog = _map([(20, 20)])[None], np.full((1, 64, 80), 0.6, np.float32) - 0.05 * _map([(20, 20)])[None]
    members = [clear, clear, fog]
    mean, std = mean_std(members)

    assert locate(mean, std, members, 0.65)[0, VOTES] == 2


def test_sigma_is_the_spread_of_the_members_own_centroids() -> None:
    shifts = (-0.6, 0.0, 0.6)
    members = [_map([(20 + shift, 40 - 2 * shift)])[None] for shift in shifts]
    mean, std = mean_std(members)
    atoms = locate(mean, std, members, 0.5)

    np.testing.assert_allclose(atoms[0, [SIGMA_Y, SIGMA_X]], [np.std(shifts), 2 * np.std(shifts)], rtol=0.1)


def test_sigma_of_an_atom_cut_by_the_border_is_that_of_its_position() -> None:
    shifts = (-0.6, 0.0, 0.6)
    members = [_map([*_WHOLE, (1.0 + shift, 40.0)])[None] for shift in shifts]
    mean, std = mean_std(members)
    atoms = locate(mean, std, members, 0.5)

    np.testing.assert_allclose(atoms[0, SIGMA_Y], np.std(shifts), rtol=0.15)


def test_ids_run_from_zero_and_areas_are_in_pixels() -> None:
    atoms = locate(_map([(20, 20), (40, 60)], 4.0)[None], None, (), 0.5)

    assert atoms[:, ID].tolist() == [0, 1]
    np.testing.assert_allclose(atoms[:, AREA], np.pi * 16, rtol=0.15)


@given(
    st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11), st.sampled_from([0.5, 0.75, 1.0])), min_size=2, max_size=60, unique_by=lambda top: top[:2]),
    st.integers(1, 3),
)
def test_of_tops_that_are_exactly_level_within_a_window_the_last_one_stays(tops: list[tuple[int, int, float]], reach: int) -> None:
    levels = np.zeros((12, 12), np.float32)
    for y, x, level in tops:
        levels[y, x] = level
    highest = cv2.dilate(levels, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    peaks = np.flatnonzero((levels == highest) & (levels > 0))
    kept = peaks[last_of_level(peaks, np.ones(len(peaks), np.bool_), reach, *levels.shape)]

    places = np.column_stack(np.divmod(peaks, 12))
    wanted = [peak for k, peak in enumerate(peaks) if not (np.abs(places[k + 1 :] - places[k]).max(axis=1) <= reach).any()]
    assert kept.tolist() == wanted


_SATURATED = """
import resource
import numpy as np
from atomstream_models.locate import locate
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
print(len(locate(np.ones((1, 512, 512), np.float32), None, (), 0.5)))
"""


def test_a_saturated_frame_is_located_in_bounded_memory() -> None:
    done = subprocess.run([sys.executable, "-c", _SATURATED], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 1000
