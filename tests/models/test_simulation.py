from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from atomstream_models.simulation import IMPURITY, SimulatedMicroscope, graphene, labelled, render_atoms, soft_disks


def test_the_same_seed_gives_the_same_movie() -> None:
    movies = [[SimulatedMicroscope(5, (128, 160)).next_frame().image for _ in range(1)] for _ in range(2)]
    one, other = SimulatedMicroscope(5, (128, 160)), SimulatedMicroscope(5, (128, 160))

    np.testing.assert_array_equal(movies[0], movies[1])
    for _ in range(12):
        a, b = one.next_frame(), other.next_frame()
        np.testing.assert_array_equal(a.image, b.image)
        np.testing.assert_array_equal(a.atoms_yx, b.atoms_yx)


def test_another_seed_gives_another_movie() -> None:
    assert (SimulatedMicroscope(5, (128, 160)).next_frame().image != SimulatedMicroscope(6, (128, 160)).next_frame().image).any()


def test_the_movie_drifts_and_a_hole_grows() -> None:
    microscope = SimulatedMicroscope(2, (256, 256))
    frames = [microscope.next_frame() for _ in range(33)]
    atoms = [labelled(frame).sum() for frame in frames]

    assert min(atoms[:8]) > 0.97 * max(atoms[:8])
    assert atoms[-1] < 0.9 * atoms[0]
    assert (frames[-1].kinds == -1).any()
    assert frames[-1].image.mean() < 0.5 * frames[0].image.mean()


def test_silicon_atoms_hop() -> None:
    microscope = SimulatedMicroscope(0)
    seen = [frame.atoms_yx[frame.kinds == IMPURITY] for frame in (microscope.next_frame() for _ in range(8))]
    moved = max(np.asarray(cKDTree(seen[0]).query(later)[0]).max() for later in seen[1:])

    assert len({len(one) for one in seen}) == 1
    assert moved > 0.8 * 0.142 / 0.0104


def test_the_truth_is_where_the_image_is_bright() -> None:
    frame = SimulatedMicroscope(3, (256, 256)).next_frame()
    y, x = np.rint(frame.atoms_yx[labelled(frame)]).astype(int).T

    assert frame.image[np.clip(y, 0, 255), np.clip(x, 0, 255)].mean() > 1.2 * frame.image.mean()


def test_graphene_has_its_bond_length_and_density() -> None:
    sheet = graphene((5.0, 6.0), 0.3, rng=np.random.default_rng(0))
    inside = np.all((sheet.positions_nm > 0) & (sheet.positions_nm < [5.0, 6.0]), axis=1)
    nearest = np.asarray(cKDTree(sheet.positions_nm).query(sheet.positions_nm[inside], k=2)[0])[:, 1]

    np.testing.assert_allclose(nearest, 0.142, rtol=1e-6)
    assert inside.sum() / 30 == pytest.approx(38.2, rel=0.03)


def test_atoms_at_and_beyond_the_border_are_drawn_in_part() -> None:
    centres = np.array([[0.0, 0.0], [-1.0, 10.0], [40.0, 40.0], [15.9, 31.9]])
    target = soft_disks(centres, 3.0, (16, 32))

    assert target[0, 0] > 0.9
    assert 0 < target[0, 10] < 1
    assert target.max() <= 1
    assert render_atoms(centres, np.ones(4), (1.0, 1.0), (16, 32))[0, 0] == pytest.approx(1.0, abs=1e-6)
