"""Places in nm as Nion's probe positions."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st
from nion_python import nion_python

from nionswift_plugin.atomstream import context_geometry, scanned_s, to_place_nm, to_shares

lengths = st.floats(0.5, 100.0)
offsets = st.floats(-20.0, 20.0)
shares = st.floats(0.0, 1.0)


def _context(shape: tuple[int, int], fov_nm: float, rotation_rad: float = 0.0, center_nm: tuple[float, float] = (0.0, 0.0)) -> Any:
    """Nion's scan context."""
    return SimpleNamespace(size=shape, fov_nm=fov_nm, rotation_rad=rotation_rad, center_nm=center_nm)


def test_the_corners_of_a_scan_are_0_and_1_and_its_middle_a_half() -> None:
    context = context_geometry(_context((256, 512), 8.0, center_nm=(1.0, -2.0)))

    places = np.array([(1.0 - 2.0, -2.0 - 4.0), (1.0, -2.0), (1.0 + 2.0, -2.0 + 4.0)])  # Nion's field of view is the longer side
    assert to_shares(context, places) == pytest.approx(np.array([(0, 0), (0.5, 0.5), (1, 1)]))


def test_in_a_turned_scan_the_axes_are_the_images_own() -> None:
    context = context_geometry(_context((256, 256), 4.0, rotation_rad=math.pi / 2))

    assert to_shares(context, np.array([(1.0, 0.0)])) == pytest.approx(np.array([(0.5, 0.75)]))
    assert to_shares(context, np.array([(0.0, 1.0)])) == pytest.approx(np.array([(0.25, 0.5)]))


def test_a_pixel_is_hit_in_its_middle() -> None:
    context = context_geometry(_context((4, 4), 4.0))

    assert to_shares(context, context.to_nm(np.array([(0, 3)]))) == pytest.approx(np.array([(0.125, 0.875)]))


@given(st.integers(16, 512), st.integers(16, 512), lengths, st.floats(-math.pi, math.pi), offsets, offsets, shares, shares)
def test_places_and_probe_positions_are_each_others_inverse(
    rows: int, columns: int, fov_nm: float, rotation: float, cy: float, cx: float, y: float, x: float
) -> None:
    context = context_geometry(_context((rows, columns), fov_nm, rotation, (cy, cx)))
    (place,) = to_place_nm(context, np.array([(y, x)]))

    assert to_shares(context, place[None]) == pytest.approx(np.array([(y, x)]), abs=1e-9)
    # Nion's convention, written out.
    along = np.array([(y - 0.5) * fov_nm * rows, (x - 0.5) * fov_nm * columns]) / max(rows, columns)
    cos, sin = math.cos(rotation), math.sin(rotation)
    assert place == pytest.approx([cy + cos * along[0] + sin * along[1], cx - sin * along[0] + cos * along[1]], abs=1e-9)


def test_places_outside_the_scan_are_seen_to_be() -> None:
    context = context_geometry(_context((64, 64), 2.0))

    assert to_shares(context, np.array([(-1.1, 0.0), (0.0, 1.1)])) == pytest.approx(np.array([(-0.05, 0.5), (0.5, 1.05)]))


def test_without_a_scan_there_is_no_context() -> None:
    with pytest.raises(ValueError, match="no size or field of view"):
        context_geometry(SimpleNamespace(size=None, fov_nm=None, rotation_rad=None, center_nm=None))


def test_rows_were_scanned_one_after_the_other() -> None:
    vendor = {"nion": {"hardware_source": {"line_time_us": 1000.0}}, "geometry": {"shape": [100, 50]}}

    assert scanned_s(7.0, vendor, np.array([0, 49.5, 99])) == pytest.approx([7 - 0.0995, 6.95, 7 - 0.0005])
    assert scanned_s(7.0, {**vendor, "nion": {"hardware_source": {}}}, np.array([3.0])) == pytest.approx([7.0])


def test_nion_itself_finds_the_atom_in_the_middle_of_a_sub_scan_around_the_probe_position(tmp_path: Path) -> None:
    nion = nion_python(tmp_path)
    said = nion.finish(nion.start(ROOT / "tests" / "nion" / "aiming.py"))
    print(said)

    assert {name: len(off_nm) for name, off_nm in said.items()} == dict.fromkeys(("plain", "turned", "turned and moved", "wide"), 4)
    assert {name: off_nm for name, off_nm in said.items() if max(off_nm) > 0.03} == {}
