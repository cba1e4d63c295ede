"""Where the atoms of a drifting specimen will be, and which of them to trust."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from atomstream_client import Atoms, EnsembleState, FrameReport
from atomstream_client.steering import DriftUnclear, SpecimenDrift, doubts, surest
from simulated_specimen import BOND_NM, LatticeSpecimen

SHEET = LatticeSpecimen(extent_nm=12.0, seed=1, impurities=0.03)
FRAME_S = 0.4

speeds = st.floats(-1.0, 1.0)


def _seen(moved: NDArray[np.float64], random: np.random.Generator, error_nm: float = 0.006) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Places and kinds that a frame of 4 nm shows: some atoms missed, some mistaken for the other kind, all a little off, in no order."""
    places = SHEET.atoms_nm + moved
    rows = np.flatnonzero((np.abs(places) < 2).all(axis=1) & (random.random(len(places)) > 0.05))
    random.shuffle(rows)
    return places[rows] + random.normal(0, error_nm, (len(rows), 2)), SHEET.impurity[rows] ^ (random.random(len(rows)) < 0.005)


@settings(max_examples=40)
@given(speeds, speeds, st.integers(0, 1 << 16))
def test_a_steady_drift_is_foretold_however_fast_where_rare_atoms_tell_the_way(vy: float, vx: float, seed: int) -> None:
    random, velocity = np.random.default_rng(seed), np.array([vy, vx])
    drift = SpecimenDrift(BOND_NM, max_step_nm=0.8)
    for k in range(4):
        drift.add(100 + FRAME_S * k, *_seen(velocity * FRAME_S * k, random))

    later = FRAME_S * 3 + 1.0
    off = np.hypot(*(drift.at(100 + later) - velocity * later))
    assert np.hypot(*(drift.velocity_nm_s - velocity)) < 0.02
    assert off < 0.02
    assert off < 4 * drift.error_nm(100 + later)


@settings(max_examples=40)
@given(st.floats(-0.08, 0.08), st.floats(-0.08, 0.08), st.integers(0, 1 << 16))
def test_a_slow_drift_needs_no_rare_atoms(vy: float, vx: float, seed: int) -> None:
    random, velocity = np.random.default_rng(seed), np.array([vy, vx])
    drift = SpecimenDrift(BOND_NM)
    for k in range(4):
        drift.add(FRAME_S * k, _seen(velocity * FRAME_S * k, random)[0])

    assert np.hypot(*(drift.at(2.0) - 2.0 * velocity)) < 0.02


def test_without_rare_atoms_a_step_of_one_spacing_is_not_seen_and_with_them_it_is() -> None:
    random = np.random.default_rng(0)
    sites = LatticeSpecimen(extent_nm=6.0, vacancies=0.0, turned_rad=0.0).atoms_nm
    spacing = np.array([0.0, math.sqrt(3) * BOND_NM])
    bare, marked = SpecimenDrift(BOND_NM), SpecimenDrift(BOND_NM)
    rare = np.arange(len(sites)) % 29 == 0
    for k in range(2):
        places = sites + k * spacing + random.normal(0, 0.004, sites.shape)
        bare.add(float(k), places)
        marked.add(float(k), places, rare)

    assert np.hypot(*bare.at(1.0)) < 0.01
    assert marked.at(1.0) == pytest.approx(spacing, abs=0.005)


def test_of_many_atoms_those_around_the_middle_are_enough() -> None:
    random, step = np.random.default_rng(4), np.array([0.3, -0.2])
    drift = SpecimenDrift(BOND_NM)
    for k in range(2):
        places = SHEET.atoms_nm + k * step
        shuffled = random.permutation(len(places))
        drift.add(float(k), places[shuffled], SHEET.impurity[shuffled])

    assert len(SHEET.atoms_nm) > 5000
    assert SHEET.impurity.sum() > 150
    assert drift.at(1.0) == pytest.approx(step)


def test_frames_of_different_places_are_refused_and_nothing_is_learnt_from_them() -> None:
    random = np.random.default_rng(2)
    drift = SpecimenDrift(BOND_NM)
    for k in range(3):
        drift.add(float(k), *_seen(np.array([0.02 * k, 0.0]), random))
    before = drift.at(5.0)
    elsewhere = random.uniform(-2, 2, (400, 2))

    with pytest.raises(DriftUnclear, match="rare atoms agree"):
        drift.add(3.0, elsewhere, random.random(400) < 0.03)
    with pytest.raises(DriftUnclear, match=r"found again|apart"):
        drift.add(3.0, elsewhere)
    with pytest.raises(DriftUnclear, match="0 of"):
        drift.add(3.0, elsewhere[:0])
    assert drift.at(5.0) == pytest.approx(before)
    drift.add(4.0, *_seen(np.array([0.08, 0.0]), random))


def test_what_is_foretold_is_trusted_for_as_long_as_the_drift_is_steady() -> None:
    random = np.random.default_rng(3)
    drift, errors = SpecimenDrift(BOND_NM), []
    for k in range(8):
        t = FRAME_S * k
        drift.add(t, *_seen(np.array([0.05 * t if k < 6 else 0.05 * t + 0.08 * (k - 5), 0.0]), random))
        errors.append(drift.error_nm(t + 1.0))

    assert errors[0] == errors[1] == math.inf
    assert errors[2] > errors[5]
    assert errors[6] > 2 * errors[5]
    assert drift.error_nm(FRAME_S * 7) < 0.005


def test_times_have_to_go_on_and_settings_to_make_sense() -> None:
    drift = SpecimenDrift(BOND_NM)
    assert (drift.at(1.0) == 0).all()
    drift.add(1.0, SHEET.atoms_nm)

    with pytest.raises(ValueError, match=r"t = 1\.0 s came after one of 1\.0 s"):
        drift.add(1.0, SHEET.atoms_nm)
    with pytest.raises(ValueError, match="neighbour_nm = 0"):
        SpecimenDrift(0)
    with pytest.raises(ValueError, match="frames = 2"):
        SpecimenDrift(BOND_NM, frames=2)


def _result(rows: list[list[float]]) -> Atoms:
    report = FrameReport(
        "s", 3, "test", "HAADF", (64, 64), EnsembleState("e", "1", "0", 1), ("m0", "m1", "m2", "m3"), 4, ("host", "impurity"), 0.0, 0.0, pixel_size=(0.01, 0.02)
    )
    return Atoms(report, np.array(rows, np.float32).reshape(-1, 10))


#        y  x  class p  p_std votes sy sx area id
CERTAIN = [5, 5, 1, 0.9, 0.0, 4, 0.0, 0.0, 9, 0]
DISPUTED = [5, 5, 1, 0.9, 0.1, 3, 1.0, 0.0, 9, 0]
HOST = [5, 5, 0, 0.9, 0.0, 4, 0.0, 0.0, 9, 0]
ALONE = [5, 5, 1, 0.9, math.nan, 1, math.nan, math.nan, 9, 0]


def test_doubt_is_the_sum_of_three_shares() -> None:
    result = _result([CERTAIN, DISPUTED, ALONE])

    assert doubts(result, 0.02) == pytest.approx([0.0, 0.25 + 0.2 + 0.5, 0.75 + 1 + 1])
    assert doubts(result, 0.001)[1] == pytest.approx(0.25 + 0.2 + 1)


def test_the_surest_of_a_class_come_first() -> None:
    result = _result([ALONE, HOST, DISPUTED, CERTAIN])

    assert surest(result, "impurity", 0.02).tolist() == [3, 2, 0]
    assert surest(_result([]), "impurity", 0.02).tolist() == []
    with pytest.raises(ValueError, match="'Si' is none of the classes host, impurity"):
        surest(result, "Si", 0.02)


def test_without_a_pixel_size_or_a_tolerance_there_is_no_doubt_in_nm() -> None:
    result = _result([CERTAIN])

    with pytest.raises(ValueError, match="frame 3 has no pixel size"):
        doubts(Atoms(replace(result.report, pixel_size=None), result.atoms), 0.02)
    with pytest.raises(ValueError, match="tolerance_nm = 0"):
        doubts(result, 0)
