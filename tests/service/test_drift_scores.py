from __future__ import annotations

import numpy as np
import pytest
from conftest import dots
from numpy.typing import NDArray

from atomstream_models.analysis import Grid, Inferred, Prepared
from atomstream_models.bundle import Bundle, Card
from atomstream_models.combine import mean_std
from atomstream_service.drift import FrameScores, frame_statistics, score_frame
from atomstream_service.drift._divergence import divergence
from atomstream_service.drift._medians import Middle

SHAPE = (96, 96)
CENTRES = [(12.0 + 16 * i, 12.0 + 16 * j) for i in range(5) for j in range(5)]
GOOD = dots(SHAPE, CENTRES, height=0.9)


def inferred(maps: list[NDArray[np.float32]], flags: tuple[str, ...] = (), names: list[str] | None = None) -> Inferred:
    classes = [one if one.ndim == 3 else one[None] for one in maps]
    mean, std = mean_std(classes)
    grid = Grid(SHAPE, SHAPE)
    used = tuple(names or [f"m{k:02d}" for k in range(len(maps))])
    return Inferred(Prepared(None, grid, flags, np.zeros(SHAPE[0], bool)), used, tuple(classes), mean, std)


def scored(maps: list[NDArray[np.float32]], card: Card, shadows: dict[str, Inferred] | None = None) -> FrameScores:
    return score_frame(7, GOOD, inferred(maps), card, shadows)


@pytest.fixture
def card(plain_bundle: Bundle) -> Card:
    return plain_bundle.card


def test_members_that_agree_score_nothing(card: Card) -> None:
    scores = scored([GOOD] * 5, card)
    assert scores.seq == 7
    assert scores.atoms == 25
    assert all((one.divergence, one.misplaced, one.count) == (0, 0, 0) for one in scores.members.values())


@pytest.mark.parametrize("members", [3, 4, 5, 8])
def test_only_the_one_that_misses_atoms_scores(card: Card, members: int) -> None:
    poor = dots(SHAPE, CENTRES[:15], height=0.9)
    scores = scored([*[GOOD] * (members - 1), poor], card)
    *others, last = scores.members.values()
    assert last.misplaced == pytest.approx(1 - 2 * 15 / (15 + 25))
    assert last.count == pytest.approx(np.log(26 / 16))
    assert last.divergence > 0.1
    if members > 3:
        assert all((one.divergence, one.misplaced, one.count) == (0, 0, 0) for one in others)


def test_a_shift_of_all_atoms_shows_in_the_maps_and_past_half_a_spacing_in_the_positions(card: Card) -> None:
    little, far = (np.roll(GOOD, (px, 0), (0, 1)) for px in (4, 8))
    near_scores, far_scores = (scored([*[GOOD] * 5, one], card).members["m05"] for one in (little, far))
    assert 0.1 < near_scores.divergence < far_scores.divergence
    assert near_scores.misplaced == 0
    assert near_scores.count == far_scores.count == 0


def test_a_shadow_is_compared_with_the_median_of_all_used_members_and_changes_nothing_for_them(card: Card) -> None:
    poor = dots(SHAPE, CENTRES[:15], height=0.9)
    alone = scored([GOOD] * 4, card)
    beside = scored([GOOD] * 4, card, {"m09": inferred([GOOD, poor], names=["m08", "m09"]), "m08": inferred([GOOD, poor], names=["m08", "m09"])})
    assert beside.members == alone.members
    assert beside.spread == alone.spread
    assert beside.shadows["m09"].misplaced == pytest.approx(1 - 2 * 15 / (15 + 25))
    assert beside.shadows["m08"].misplaced == 0


def test_one_used_member_has_nobody_to_differ_from_but_its_shadows_are_compared_with_it(card: Card) -> None:
    scores = scored([GOOD], card, {"m01": inferred([dots(SHAPE, CENTRES[:15], height=0.9)], names=["m01"])})
    assert scores.members == {}
    assert scores.spread == 0
    assert scores.shadows["m01"].misplaced > 0.2


def test_where_nobody_sees_an_atom_all_agree(card: Card) -> None:
    scores = scored([np.zeros(SHAPE, np.float32)] * 4, card)
    assert scores.atoms == 0
    assert all((one.divergence, one.misplaced, one.count) == (0, 0, 0) for one in scores.members.values())


def test_a_member_that_sees_atoms_where_nobody_does_is_told_apart(card: Card) -> None:
    scores = scored([*[np.zeros(SHAPE, np.float32)] * 4, GOOD], card)
    assert scores.members["m04"].misplaced == 1
    assert scores.members["m04"].count == pytest.approx(np.log(26))
    assert scores.members["m00"].misplaced == 0


@pytest.mark.parametrize("flag", ["blank", "rows_missing"])
def test_frames_without_all_their_rows_say_nothing(card: Card, flag: str) -> None:
    assert score_frame(1, GOOD, inferred([GOOD] * 3, (flag,)), card).unfit == flag


def test_a_frame_of_a_scan_that_still_runs_says_nothing(card: Card) -> None:
    scores = score_frame(1, GOOD, inferred([GOOD] * 3), card, complete=False)
    assert scores.unfit == "partial"
    assert scores.members == {}


@pytest.mark.parametrize("members", [2, 3, 4, 5, 6, 7, 8, 9, 20])
def test_the_median_of_all_but_one_is_numpys(members: int) -> None:
    # Few different values, so that many tie.
    maps = np.random.default_rng(members).integers(0, 5, (members, 2, 500)).astype(np.float32)
    middle = Middle(list(maps))
    np.testing.assert_array_equal(middle.of_all(), np.median(maps, axis=0))
    for k in range(members):
        np.testing.assert_array_equal(middle.without(maps[k]), np.median(np.delete(maps, k, axis=0), axis=0))


def test_the_divergence_is_that_of_two_yes_or_no_answers_in_bits() -> None:
    from scipy.spatial.distance import jensenshannon  # noqa: PLC0415

    p, q = np.array([[0.9, 0.2, 0.5]], np.float32), np.array([[0.1, 0.2, 0.99]], np.float32)
    expected = np.mean([jensenshannon([a, 1 - a], [b, 1 - b], base=2) ** 2 for a, b in zip(p[0], q[0], strict=True)])
    assert divergence(p, q, np.ones(3, bool)) == pytest.approx(expected, rel=1e-4)
    assert divergence(np.ones((1, 1), np.float32), np.zeros((1, 1), np.float32), np.ones(1, bool)) == pytest.approx(1, abs=1e-4)
    assert divergence(p, q, np.zeros(3, bool)) == 0


class TestStatistics:
    rng = np.random.default_rng(3)
    clean = dots((256, 256), [(8.0 + 13 * i, 8.0 + 13 * j) for i in range(19) for j in range(19)]) + 5

    def test_the_noise_is_found_beneath_the_lattice(self) -> None:
        for sigma in (0.2, 0.5):
            noisy = self.clean + self.rng.normal(0, sigma, self.clean.shape)
            assert frame_statistics(noisy).noise * noisy.std() == pytest.approx(sigma, rel=0.1)

    def test_gain_changes_the_level_alone(self) -> None:
        noisy = self.clean + self.rng.normal(0, 0.3, self.clean.shape)
        one, other = frame_statistics(noisy), frame_statistics(3 * noisy)
        assert other.level == pytest.approx(3 * one.level)
        assert (other.contrast, other.noise, other.lattice, other.jitter) == pytest.approx((one.contrast, one.noise, one.lattice, one.jitter), rel=1e-3)

    def test_the_lattice_sinks_into_noise(self) -> None:
        heights = [frame_statistics(self.clean + self.rng.normal(0, sigma, self.clean.shape)).lattice for sigma in (0.1, 1, 10)]
        assert heights[0] > heights[1] > heights[2] + 0.5

    def test_lines_that_shift_raise_the_jitter(self) -> None:
        shifts = self.rng.integers(-2, 3, len(self.clean))
        torn = np.stack([np.roll(row, px) for row, px in zip(self.clean, shifts, strict=True)])
        assert abs(frame_statistics(self.clean).jitter) < 0.05
        assert frame_statistics(torn).jitter > 0.3

    @pytest.mark.parametrize("frame", [np.full((64, 64), 3.0), np.arange(64.0).reshape(8, 8)])
    def test_constant_and_tiny_frames_tell_their_level_alone(self, frame: NDArray[np.float64]) -> None:
        statistics = frame_statistics(frame)
        assert statistics.level == pytest.approx(frame.mean())
        assert statistics.noise == statistics.lattice == 0
