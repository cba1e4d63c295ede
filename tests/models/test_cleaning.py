from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from atomstream_models.baseline import log_atoms
from atomstream_models.cleaning import Cleaning, clean, high_std, lattice_translations, low_votes, on_lattice, patch_gmm
from atomstream_models.errors import InputError
from atomstream_models.metrics import match
from atomstream_models.simulation import IMPURITY, MicroscopeFrame, SimulatedMicroscope

DRIFTED = (20, 24, 28)


@cache
def movie(seed: int = 11) -> tuple[MicroscopeFrame, ...]:
    """Frames with a hole, an amorphous patch and impurities."""
    microscope = SimulatedMicroscope(seed, (384, 384))
    return tuple(frame for k, frame in enumerate(microscope.next_frame() for _ in range(max(DRIFTED) + 1)) if k in DRIFTED)


@cache
def found() -> tuple[NDArray[np.float64], ...]:
    return tuple(rows(log_atoms(frame.image)[:, :2]) for frame in movie())


def rows(yx: NDArray[np.float64]) -> NDArray[np.float64]:
    """Atoms as `locate` answers them, seen by everybody."""
    atoms = np.zeros((len(yx), 10))
    atoms[:, :2], atoms[:, 3], atoms[:, 4], atoms[:, 5] = yx, 0.9, 0.05, 8
    return atoms


def kinds(frame: MicroscopeFrame, atoms: NDArray[np.float64]) -> NDArray[np.int64]:
    """The true kind of each found atom, -1 for amorphous matter and for what is not there."""
    i, j = match(atoms[:, :2], frame.atoms_yx, 0.35 * frame.neighbour_px)
    kind = np.full(len(atoms), -1)
    kind[i] = frame.kinds[j]
    return kind


def honeycomb(rows_: int = 12, columns: int = 12, bond: float = 14.0) -> NDArray[np.float64]:
    a = np.sqrt(3) * bond
    cells = np.array([(1.5 * bond * k, a * n + a / 2 * (k % 2)) for k in range(rows_) for n in range(columns)])
    return np.concatenate([cells, cells + np.array([0.5 * bond, a / 2])])


def test_what_is_amorphous_goes_and_lattice_and_impurities_stay() -> None:
    cleaned = clean([frame.image for frame in movie()], found())
    kind = np.concatenate([kinds(frame, atoms) for frame, atoms in zip(movie(), found(), strict=True)])
    kept = np.concatenate(cleaned.kept)

    assert np.mean(kept[kind == -1]) < 0.3
    assert np.mean(kept[kind >= 0]) > 0.8
    assert np.mean(kept[kind == IMPURITY]) > 0.6
    assert np.mean(kind >= 0) < 0.95
    assert np.mean(kind[kept] >= 0) > 0.97


def test_counts_add_up_and_name_the_reasons() -> None:
    atoms = [one.copy() for one in found()]
    atoms[0][:5, 5] = 1
    atoms[1][:7, 4] = 0.4
    cleaned = clean([frame.image for frame in movie()], atoms, Cleaning(least_votes=4, most_std=0.3))
    counts = cleaned.counts

    assert (counts["low_votes"], counts["high_std"]) == (5, 7)
    assert counts["found"] == counts["low_votes"] + counts["high_std"] + counts["amorphous"] + counts["kept"]
    assert [len(one) for one in cleaned.kept] == [len(one) for one in atoms]
    assert not cleaned.kept[0][:5].any()


def test_the_same_seed_cleans_the_same() -> None:
    frames = [frame.image for frame in movie()]
    one, other = clean(frames, found()), clean(frames, found())

    np.testing.assert_array_equal(np.concatenate(one.kept), np.concatenate(other.kept))


def test_spectra_keep_the_two_sites_of_graphene_together_where_pixels_part_them() -> None:
    frame = SimulatedMicroscope(3, (384, 384)).next_frame()
    atoms = [log_atoms(frame.image)]
    by_spectrum = patch_gmm([frame.image], atoms)
    by_pixels = patch_gmm([frame.image], atoms, descriptor="pixels")

    assert max(by_spectrum.counts) > 0.6 * len(atoms[0])
    assert 0.35 * len(atoms[0]) < min(by_pixels.counts)


def test_a_frame_without_amorphous_matter_keeps_nearly_all() -> None:
    frame = SimulatedMicroscope(3, (384, 384)).next_frame()
    atoms = rows(log_atoms(frame.image)[:, :2])
    (kept,) = clean([frame.image], [atoms]).kept

    assert kept.mean() > 0.9


def test_too_few_atoms_are_all_kept_with_a_note() -> None:
    atoms = rows(np.array([(20.0, 20.0), (40.0, 40.0)]))
    cleaned = clean([np.random.default_rng(0).normal(size=(64, 64))], [atoms])

    assert cleaned.kept[0].all()
    assert cleaned.notes == ("2 atoms are too few for 2 patch components: all were kept",)


def test_a_constant_frame_keeps_all_with_a_note() -> None:
    atoms = rows(np.random.default_rng(0).uniform(0, 64, (40, 2)))
    cleaned = clean([np.ones((64, 64))], [atoms])

    assert cleaned.kept[0].all()
    assert cleaned.notes == ("all patches are alike: all atoms were kept",)


def test_no_frames_and_no_atoms_are_results() -> None:
    assert clean([], []).counts == {"found": 0, "kept": 0}
    assert clean([np.ones((64, 64))], [rows(np.empty((0, 2)))]).kept[0].shape == (0,)


def test_a_filter_is_left_out_unless_it_is_asked_for() -> None:
    frame = movie()[0]
    cleaned = clean([frame.image], [found()[0]], Cleaning(window_px=None))

    assert cleaned.kept[0].all()
    assert set(cleaned.counts) == {"found", "kept"}


def test_atoms_at_the_very_edge_have_patches() -> None:
    frame = movie()[0].image
    edge = np.concatenate([np.column_stack([np.zeros(40), np.linspace(0, 383, 40)]), np.column_stack([np.full(40, 383.4), np.linspace(0, 383, 40)])])
    classes = patch_gmm([frame], [edge])

    assert sum(classes.counts) == 80


def test_an_unknown_std_is_not_high() -> None:
    atoms = rows(np.zeros((4, 2)))
    atoms[:, 4] = (np.nan, 0.1, 0.2, 0.9)

    np.testing.assert_array_equal(high_std(atoms, most=0.15), [False, False, True, True])
    np.testing.assert_array_equal(high_std(atoms, quantile=0.5), [False, False, False, True])


@pytest.mark.parametrize("settings", [{}, {"most": 0.1, "quantile": 0.5}, {"most": -1.0}, {"quantile": 0.0}])
def test_a_std_filter_that_makes_no_sense_is_refused(settings: dict[str, float]) -> None:
    with pytest.raises(InputError):
        high_std(rows(np.zeros((4, 2))), **settings)


def test_few_votes_are_counted_against_the_least() -> None:
    atoms = rows(np.zeros((3, 2)))
    atoms[:, 5] = (2, 3, 4)

    np.testing.assert_array_equal(low_votes(atoms, 3), [True, False, False])


def test_the_translations_of_a_honeycomb_are_its_lattice_vectors_not_its_bonds() -> None:
    steps = lattice_translations(honeycomb() + np.random.default_rng(0).normal(0, 0.4, (288, 2)))
    length = np.linalg.norm(steps, axis=1)

    assert len(steps) == 6 + 6
    np.testing.assert_allclose(np.sort(length)[:6], np.sqrt(3) * 14, atol=0.5)


def test_random_points_have_no_translations() -> None:
    assert lattice_translations(np.random.default_rng(0).uniform(0, 300, (200, 2))).shape == (0, 2)


def test_a_vacant_site_is_on_the_lattice_and_a_bond_is_not() -> None:
    sites = honeycomb()
    middle = int(np.argmin(np.linalg.norm(sites - sites.mean(axis=0), axis=1)))
    rest = np.delete(sites, middle, axis=0)
    bond = sites[middle] + np.array([7.0, 3.0])

    np.testing.assert_array_equal(on_lattice(np.stack([sites[middle], bond]), rest), [True, False])


def test_frames_and_atoms_that_differ_in_number_are_refused() -> None:
    with pytest.raises(InputError, match="1 frames came with atoms of 2"):
        patch_gmm([np.ones((8, 8))], [np.ones((1, 2)), np.ones((1, 2))])
