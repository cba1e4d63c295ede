from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import dots, make_plain_bundle

from atomstream_models.analysis import FrameRefused, _infer, finish, infer, prepare
from atomstream_models.bundle import Bundle, Card
from atomstream_models.lengths import pixel_size_in_nm
from atomstream_models.runtime import load_ensemble


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Card:
    return make_plain_bundle(tmp_path_factory.mktemp("card"), pixel_size_nm=[0.01, 0.02]).card


@pytest.mark.parametrize("shape", [(64, 64), (61, 83), (8, 9)])
def test_frames_are_padded_to_the_multiple_that_members_take(card: Card, shape: tuple[int, int]) -> None:
    prepared = prepare(dots(shape, [(4, 4)]), (0.015, 0.015), card)

    assert prepared.tensor is not None
    assert all(n % 8 == 0 for n in prepared.tensor.shape[2:])
    assert prepared.grid.shape == shape
    assert prepared.flags == ()


@pytest.mark.parametrize(("size", "expected"), [(0.005, (32, 48)), (0.04, (128, 192)), (0.015, (64, 96))])
def test_a_pixel_size_out_of_range_is_brought_to_the_nearest_end(card: Card, size: float, expected: tuple[int, int]) -> None:
    prepared = prepare(dots((64, 96), [(4, 4)]), (size, size), card)

    assert prepared.grid.shape == expected
    assert ("rescaled" in prepared.flags) == (expected != (64, 96))


def test_an_unknown_pixel_size_is_flagged_and_never_guessed(card: Card) -> None:
    prepared = prepare(dots((64, 96), [(4, 4)]), None, card)

    assert prepared.grid.shape == (64, 96)
    assert prepared.flags == ("uncalibrated",)


def test_a_blank_frame_is_flagged_and_not_inferred(card: Card) -> None:
    prepared = prepare(np.full((64, 64), 7, np.uint16), (0.015, 0.015), card)

    assert prepared.tensor is None
    assert prepared.flags == ("blank",)


@pytest.mark.parametrize("valid", [None, (0, 40)])
def test_missing_rows_are_flagged_and_do_not_shift_the_rest(card: Card, valid: tuple[int, int] | None) -> None:
    whole = np.random.default_rng(0).normal(10, 1, (64, 64)).astype(np.float32)
    cut = whole.copy()
    cut[40:] = 0 if valid is None else 5
    prepared, alone = prepare(cut, (0.015, 0.015), card, valid_rows=valid), prepare(whole[:40], (0.015, 0.015), card)

    assert prepared.flags == ("rows_missing",)
    assert prepared.tensor is not None
    assert alone.tensor is not None
    np.testing.assert_array_equal(prepared.tensor[0, 0, :40], alone.tensor[0, 0])
    assert not prepared.tensor[0, 0, 40:].any()


def test_a_clipped_detector_is_flagged(card: Card) -> None:
    frame = np.random.default_rng(0).integers(0, 4000, (64, 64)).astype(np.uint16)
    frame[:10] = 4095
    frame[:10, 0] = 0

    assert prepare(frame, (0.015, 0.015), card).flags == ("saturated",)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_pixel_that_is_not_finite_is_refused_by_place(card: Card, bad: float) -> None:
    frame = dots((64, 64), [(4, 4)])
    frame[3, 5] = bad

    with pytest.raises(FrameRefused, match="row 3, column 5") as refusal:
        prepare(frame, None, card)
    assert refusal.value.code == "not_finite"


@pytest.mark.parametrize("empty", [np.nan, np.inf, 0.0])
def test_rows_that_a_scan_did_not_reach_may_hold_anything(card: Card, empty: float) -> None:
    frame = np.random.default_rng(0).normal(10, 1, (64, 64)).astype(np.float32)
    frame[40:] = empty

    assert prepare(frame, (0.015, 0.015), card).flags == ("rows_missing",)
    frame[45, 3] = np.nan
    assert prepare(frame, (0.015, 0.015), card, valid_rows=(0, 40)).flags == ("rows_missing",)


def test_huge_but_finite_values_are_no_reason_to_refuse(card: Card) -> None:
    frame = np.full((64, 64), 3e38, np.float32)
    frame[::2] = -3e38
    frame[:, 1] = 0

    assert prepare(frame, None, card).tensor is not None


@pytest.mark.parametrize(
    ("shape", "size", "code"), [((7, 64), 0.015, "too_small"), ((64, 64), 1e-4, "scale_out_of_reach"), ((64, 64), 1e4, "scale_out_of_reach")]
)
def test_what_can_not_be_processed_is_refused(card: Card, shape: tuple[int, int], size: float, code: str) -> None:
    with pytest.raises(FrameRefused) as refusal:
        prepare(dots(shape, [(4, 4)]), (size, size), card)

    assert refusal.value.code == code


@pytest.mark.parametrize(("unit", "size"), [("nm", 0.1), ("pm", 100.0), ("Å", 1.0), ("um", 1e-4), ("m", 1e-10)])
def test_units_of_length_are_understood(unit: str, size: float) -> None:
    assert pixel_size_in_nm((size, size), unit) == pytest.approx((0.1, 0.1))


def test_another_unit_means_unknown() -> None:
    assert pixel_size_in_nm((1.0, 1.0), "1/nm") is None


@pytest.mark.parametrize("size", [(0.005, 0.005), (0.04, 0.04), (0.005, 0.015)])
def test_atoms_and_maps_come_back_on_the_frames_own_pixels(tmp_path: Path, size: tuple[float, float]) -> None:
    ensemble = load_ensemble(make_plain_bundle(tmp_path, pixel_size_nm=[0.01, 0.02]))
    frame = dots((96, 120), [(20.0, 30.0), (60.5, 90.25)], sigma=4.0)
    answer = finish(infer(prepare(frame, size, ensemble.card), ensemble.card, ["m00", "m01"], ensemble.answer), ensemble.card)

    assert answer.mean.shape == (1, 96, 120)
    assert answer.flags == ("rescaled",)
    np.testing.assert_allclose(answer.atoms[:, :2], [[20.0, 30.0], [60.5, 90.25]], atol=0.3)
    assert np.abs(np.array(np.unravel_index(answer.mean[0].argmax(), (96, 120))) - [20, 30]).max() <= 1 or answer.mean[0, 60, 90] > 0.9


def test_atoms_on_missing_rows_are_left_out(tmp_path: Path) -> None:
    ensemble = load_ensemble(make_plain_bundle(tmp_path, biases=(3.0, 3.0)))
    frame = dots((64, 64), [(10.0, 30.0)]) - 3
    frame[40:] = 0
    answer = finish(infer(prepare(frame, None, ensemble.card), ensemble.card, ["m00", "m01"], ensemble.answer), ensemble.card)

    assert (answer.atoms[:, 0] < 40).all()


def test_of_a_large_frame_s_maps_the_background_is_let_go_and_the_rest_is_the_same(graphene: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    ensemble = load_ensemble(graphene)
    prepared = prepare(dots((64, 72), [(20.0, 30.0)]), None, ensemble.card)
    members = ensemble.card.member_ids[:2]
    small = infer(prepared, ensemble.card, members, ensemble.answer)
    monkeypatch.setattr(_infer, "_MOST_UNUSED_BYTES", 0)
    large = infer(prepared, ensemble.card, members, ensemble.answer)

    assert small.maps[0].base is not None
    assert [one.base for one in large.maps] == [None, None]
    np.testing.assert_array_equal(large.maps, small.maps)
    np.testing.assert_array_equal(large.mean, small.mean)
