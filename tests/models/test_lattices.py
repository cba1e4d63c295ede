from __future__ import annotations

import hashlib
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.spatial import cKDTree

from atomstream_models.errors import InputError
from atomstream_models.simulation import (
    A_SITE,
    B_SITE,
    HOST,
    Imaging,
    Noise,
    Placement,
    SimulatedMicroscope,
    Specimen,
    add_noise,
    brightness_of,
    class_masks,
    cramer_rao_px,
    crop,
    disks,
    dwindle,
    embed,
    expose,
    grain_boundary,
    graphene,
    growing_hole,
    labelled,
    localisation_limit_px,
    mos2,
    outline,
    perovskite,
    remove_atoms,
    rock_salt,
    shake,
    single_image_case,
    soft_disks,
    square_lattice,
    strain,
)

FIELD = (4.0, 5.0)


def _rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def _nearest(specimen: Specimen, field: tuple[float, float] = FIELD) -> NDArray[np.float64]:
    inside = crop(specimen, field).positions_nm
    return np.asarray(cKDTree(specimen.positions_nm).query(inside, k=2)[0])[:, 1]


@pytest.mark.parametrize(
    ("seed", "digest", "counts"),
    [(0, "70ab8cf6961d7cb8", 322666432), (5, "a4c48dd6b67a7d5d", 326407737)],
)
def test_the_graphene_movie_of_a_seed_stays_what_it_was(seed: int, digest: str, counts: int) -> None:
    microscope = SimulatedMicroscope(seed, (128, 160))
    places, total = hashlib.sha256(), 0.0
    for _ in range(12):
        frame = microscope.next_frame()
        places.update(np.rint(frame.atoms_yx * 1e6).astype("<i8").tobytes() + frame.kinds.astype("<i8").tobytes())
        total += float(frame.image.sum(dtype=np.int64))

    assert places.hexdigest()[:16] == digest
    assert total == pytest.approx(counts, rel=1e-6)


def test_perovskite_has_two_sublattices_and_rock_salt_one() -> None:
    crystal = perovskite(FIELD, Placement(0.4), rng=_rng())
    a, b = (crystal.keep(crystal.kind == kind) for kind in (A_SITE, B_SITE))

    np.testing.assert_allclose(_nearest(a), 0.388, rtol=1e-6)
    np.testing.assert_allclose(_nearest(b), 0.388, rtol=1e-6)
    np.testing.assert_allclose(_nearest(crystal), 0.388 / np.sqrt(2), rtol=1e-6)
    assert crystal.neighbour_nm == pytest.approx(0.388 / np.sqrt(2))
    assert a.brightness.min() == 1
    assert 0.2 < b.brightness.max() < 0.5
    np.testing.assert_allclose(_nearest(rock_salt(FIELD, Placement(1.0), rng=_rng())), 0.4177 / 2, rtol=1e-6)


def test_a_polar_tetragonal_perovskite_moves_its_b_columns_and_shows_unlabelled_oxygen() -> None:
    crystal = perovskite(FIELD, tetragonality=1.05, polar_shift_nm=(0.02, 0.0), oxygen_brightness=0.04, rng=_rng())
    a, b, oxygen = (crystal.positions_nm[crystal.kind == kind] for kind in (A_SITE, B_SITE, -1))
    site = a[np.argmin(np.linalg.norm(a - np.array(FIELD) / 2, axis=1))]
    arms = b[np.linalg.norm(b - site, axis=1) < 0.3] - site
    along_y = np.unique(arms[:, 0].round(6))

    np.testing.assert_allclose(along_y, [0.02 - 0.388 * 1.05 / 2, 0.02 + 0.388 * 1.05 / 2], atol=1e-6)
    assert crystal.neighbour_nm == pytest.approx(np.linalg.norm(arms, axis=1).min())
    assert len(oxygen) == pytest.approx(2 * len(a), rel=0.1)


def test_mos2_has_its_bond_its_sublattices_and_its_defects() -> None:
    sheet = mos2(FIELD, Placement(0.2), sulphur_vacancies=0.2, dopants=0.1, rng=_rng())
    metal, sulphur = sheet.keep(sheet.kind == 0), sheet.keep(sheet.kind == 1)

    np.testing.assert_allclose(_nearest(sheet), 0.316 / np.sqrt(3), rtol=1e-6)
    np.testing.assert_allclose(_nearest(metal), 0.316, rtol=1e-6)
    assert np.mean(metal.brightness < 1) == pytest.approx(0.1, abs=0.05)
    halves = sulphur.brightness < sulphur.brightness.max()
    np.testing.assert_allclose(sulphur.brightness[halves], sulphur.brightness.max() / 2)
    assert halves.mean() == pytest.approx(0.2, abs=0.08)


def test_strain_stretches_along_its_axis_only() -> None:
    placement = Placement(strain=((0.1, 0.0), (0.0, 0.0)))
    stretched = rock_salt(FIELD, placement, cell_nm=0.4, rng=_rng())
    y, x = (np.unique(crop(stretched, FIELD).positions_nm[:, axis].round(6)) for axis in (0, 1))

    np.testing.assert_allclose(np.diff(y), 0.22, atol=2e-6)
    np.testing.assert_allclose(np.diff(x), 0.2, atol=2e-6)
    np.testing.assert_allclose(strain(stretched, np.array([[0.0, 0.0], [0.5, 0.0]]), (0.0, 0.0)).positions_nm[:, 0], stretched.positions_nm[:, 0])


def test_a_strained_lattice_still_covers_the_field() -> None:
    sheet = graphene(FIELD, 0.3, strain=((-0.3, 0.1), (0.1, -0.2)), rng=_rng())
    corners = np.array([[0, 0], [0, FIELD[1]], [FIELD[0], 0], FIELD])

    assert np.asarray(cKDTree(sheet.positions_nm).query(corners)[0]).max() < 0.142


def test_an_impossible_strain_and_an_empty_field_are_refused() -> None:
    with pytest.raises(InputError, match="stretches the lattice"):
        graphene(FIELD, strain=((-0.9, 0.0), (0.0, 0.0)), rng=_rng())
    with pytest.raises(InputError, match="field of view"):
        square_lattice((0.0, 1.0), 0.2, rng=_rng())


def test_grains_meet_without_crowding_and_without_a_gap() -> None:
    field = (6.0, 6.0)
    sheet = grain_boundary(field, (0.1, 0.45), rng=_rng(2))

    nearest = _nearest(sheet, field)
    assert nearest.min() > 0.74 * 0.142
    assert np.mean(np.abs(nearest - 0.142) > 1e-6) < 0.2
    assert len(crop(sheet, field).kind) == pytest.approx(38.2 * 36, rel=0.05)
    holes = np.asarray(cKDTree(sheet.positions_nm).query(_rng().uniform(0, 6, (4000, 2)))[0])
    assert holes.max() < 2.2 * 0.142


def test_an_island_replaces_its_host_and_is_told_apart() -> None:
    host, guest = perovskite(FIELD, rng=_rng()), rock_salt(FIELD, kind=B_SITE, brightness=0.4, rng=_rng(1))
    where = outline((2.0, 2.5), 1.0, rng=_rng())
    both, island = embed(host, guest, where)

    assert where.contains(both.positions_nm[island]).all()
    assert not where.contains(both.positions_nm[~island]).any()
    assert _nearest(both).min() > 0.74 * 0.4177 / 2
    assert both.neighbour_nm == guest.neighbour_nm
    assert island.sum() == pytest.approx(np.pi / (0.4177 / 2) ** 2, rel=0.3)
    nothing = embed(host, guest, where.grown(0.0))
    assert not nothing.guest.any()
    assert nothing.specimen.neighbour_nm == host.neighbour_nm


def test_atoms_go_at_random_down_to_the_last() -> None:
    sheet = graphene(FIELD, rng=_rng())
    stages = list(dwindle(sheet, last=10, step=100, rng=_rng()))
    counts = [len(stage.kind) for stage in stages]

    assert counts[0] == len(sheet.kind)
    assert counts[-1] == 10
    assert set(np.diff(counts[:-1])) == {-100}
    for more, fewer in pairwise(stages):
        assert {tuple(p) for p in fewer.positions_nm} < {tuple(p) for p in more.positions_nm}
    assert [len(stage.kind) for stage in dwindle(stages[-1], last=20, rng=_rng())] == [10]


def test_vacancies_are_counted_and_of_the_wanted_kind() -> None:
    sheet = mos2(FIELD, rng=_rng())
    sulphur = int(np.sum(sheet.kind == 1))
    left = remove_atoms(sheet, fraction=0.25, kind=1, rng=_rng())

    assert np.sum(left.kind == 1) == sulphur - round(0.25 * sulphur)
    assert np.sum(left.kind == 0) == np.sum(sheet.kind == 0)
    assert len(remove_atoms(sheet, count=len(sheet.kind), rng=_rng()).kind) == 0
    for wrong in ({"count": 1, "fraction": 0.1}, {}, {"fraction": 1.5}, {"count": len(sheet.kind) + 1}):
        with pytest.raises(InputError):
            remove_atoms(sheet, rng=_rng(), **wrong)


def test_a_hole_grows_and_thermal_motion_has_its_spread() -> None:
    sheet = graphene((10.0, 10.0), rng=_rng())
    counts = [len(stage.kind) for stage in growing_hole(sheet, outline((5.0, 5.0), 0.0, 0.1, rng=_rng()), [0.0, 1.0, 2.0, 1.5])]
    moved = shake(sheet, 0.01, rng=_rng()).positions_nm - sheet.positions_nm

    assert counts[0] == len(sheet.kind)
    assert counts[0] - counts[1] == pytest.approx(np.pi * 38.2, rel=0.15)
    assert counts[2] == counts[3] < counts[1]
    np.testing.assert_allclose(moved.std(axis=0), 0.01, rtol=0.05)


def test_brightness_follows_the_atomic_number() -> None:
    np.testing.assert_allclose(brightness_of([6, 14], 6), [1.0, (14 / 6) ** 1.7])
    assert brightness_of(12, 6, 2.0) == 4
    with pytest.raises(InputError, match="positive"):
        brightness_of([0], 6)


@pytest.mark.parametrize("material", ["perovskite", "rock-salt", "mos2"])
def test_other_materials_drift_too_and_repeat_for_a_seed(material: str) -> None:
    one, other = (SimulatedMicroscope(4, (160, 200), mild=2, drift=4, material=material) for _ in range(2))  # type: ignore[arg-type]
    frames = [one.next_frame() for _ in range(7)]

    np.testing.assert_array_equal(frames[0].image, other.next_frame().image)
    assert frames[-1].image.mean() < 0.5 * frames[0].image.mean()
    assert (frames[-1].kinds == -1).any()
    assert not (frames[0].kinds == -1).any()
    assert set(np.unique(frames[0].kinds)) == ({1} if material == "rock-salt" else {0, 1})
    wanted = frames[0].atoms_yx[labelled(frames[0])]
    y, x = np.clip(np.rint(wanted).astype(int), 0, [[159, 199]]).T
    assert frames[0].image[y, x].mean() > 1.2 * frames[0].image.mean()
    assert np.asarray(cKDTree(frames[0].atoms_yx).query(wanted, k=2)[0])[:, 1].mean() == pytest.approx(frames[0].neighbour_px, rel=0.1)


def test_the_island_of_the_perovskite_movie_grows() -> None:
    microscope = SimulatedMicroscope(1, (256, 256), mild=1, drift=3, material="perovskite")
    frames = [microscope.next_frame() for _ in range(4)]

    assert frames[0].neighbour_px == pytest.approx(0.388 / np.sqrt(2) / 0.02)
    assert frames[-1].neighbour_px == pytest.approx(0.4177 / 2 / 0.02)
    share = [np.mean(frame.kinds[labelled(frame)] == B_SITE) for frame in frames]
    assert share[-1] > share[0] + 0.1


def test_the_single_image_tells_which_columns_are_the_islands() -> None:
    case = single_image_case(3, (256, 300))
    island = case.frame.atoms_yx[case.island]

    assert case.frame.image.shape == (256, 300)
    assert len(case.island) == len(case.frame.kinds) == len(case.frame.atoms_yx)
    assert (case.frame.kinds[case.island] == B_SITE).all()
    assert 0.1 < case.island.mean() < 0.8
    assert np.median(np.asarray(cKDTree(island).query(island, k=2)[0])[:, 1]) == pytest.approx(0.4177 / 2 / 0.02, rel=0.05)


def test_an_unknown_material_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="'cheese'"):
        SimulatedMicroscope(material="cheese")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="rows"):
        SimulatedMicroscope(shape=(0, 64))


def test_a_lone_atoms_bound_is_the_textbook_one() -> None:
    atom = Specimen(np.array([[0.32, 0.32]]), np.ones(1), np.array([HOST]), 0.142)
    imaging = Imaging(0.01, (64, 64), (0.04, 0.04), background=1000.0)
    noise = Noise(counts_per_host=100.0)
    variance = 1000.0 / 100.0
    textbook = np.sqrt(2 * variance * 2 * 4.0**2 / (np.pi * 4.0**2))

    assert cramer_rao_px(atom, imaging, noise)[0] == pytest.approx(textbook, rel=0.02)


def test_a_fit_reaches_the_bound_and_does_not_beat_it() -> None:
    atoms = Specimen(np.array([[0.16, 0.14], [0.16, 0.26]]), np.array([1.0, 0.5]), np.array([HOST, HOST]), 0.12)
    imaging, noise = Imaging(0.01, (32, 40), (0.04, 0.03), background=0.3), Noise(200.0, 0.05)
    clean = expose(atoms, imaging, rng=_rng())
    rows, columns = np.arange(32)[:, None], np.arange(40)[None]

    def model(p: NDArray[np.float64]) -> NDArray[np.float64]:
        image = np.full((32, 40), p[6])
        for y, x, peak in p[:6].reshape(2, 3):
            image = image + peak * np.exp(-0.5 * ((rows - y) / 4) ** 2 - 0.5 * ((columns - x) / 3) ** 2)
        return image

    truth = np.array([16, 14, 1.0, 16, 26, 0.5, 0.3])
    weight = 1 / np.sqrt(clean / 200 + 0.05**2)
    errors = []
    for seed in range(60):
        noisy = add_noise(clean, noise, rng=_rng(seed))
        found = least_squares(lambda p, noisy=noisy: ((model(p) - noisy) * weight).ravel(), truth).x  # type: ignore[misc]
        errors.append((found - truth)[[0, 1, 3, 4]])
    reached = np.sqrt(np.mean(np.array(errors).reshape(60, 2, 2) ** 2, axis=0).sum(axis=1))

    np.testing.assert_allclose(reached, cramer_rao_px(atoms, imaging, noise), rtol=0.2)


def test_jitter_of_the_lines_and_less_dose_raise_the_bound() -> None:
    sheet = graphene((1.0, 1.0), rng=_rng())
    middle = np.array([np.argmin(np.linalg.norm(sheet.positions_nm - 0.5, axis=1))])

    def bound(jitter: float, counts: float) -> float:
        return float(cramer_rao_px(sheet, Imaging(0.01, (100, 100), (0.04, 0.04), line_jitter_px=jitter), Noise(counts), middle)[0])

    assert bound(0.0, 50.0) < bound(0.5, 50.0) < bound(2.0, 50.0)
    assert bound(0.0, 12.5) == pytest.approx(2 * bound(0.0, 50.0), rel=0.02)


def test_a_frames_limit_grows_with_its_drift() -> None:
    microscope = SimulatedMicroscope(0, (96, 96), mild=1, drift=2)
    mild, _, hard = (localisation_limit_px(microscope.next_frame(), 10) for _ in range(3))

    assert 0.1 < mild < 0.4
    assert hard > 2 * mild


def test_hard_disks_are_round_centred_sub_pixel_and_bounds_safe() -> None:
    mask = disks(np.array([[10.5, 12.25], [-2.0, 30.0], [31.8, 39.9], [500.0, 500.0]]), 5.0, (32, 40))
    rows, columns = np.nonzero(mask[:20, :20])

    assert rows.mean() == 10.5
    assert columns.mean() == pytest.approx(12.25, abs=0.1)
    assert len(rows) == pytest.approx(np.pi * 25, rel=0.06)
    assert mask[0, 30]
    assert not mask[4, 30]
    assert mask[31, 39]
    assert not disks(np.empty((0, 2)), 3.0, (8, 8)).any()


def test_class_masks_are_one_hot_with_the_background_last() -> None:
    places = np.array([[8.0, 8.0], [8.0, 14.0], [20.0, 20.0], [-1.0, 20.0]])
    masks = class_masks(places, np.array([0, 1, -1, 1]), 3, 4.0, (32, 32))

    np.testing.assert_array_equal(masks.sum(axis=0), 1)
    assert masks.shape == (4, 32, 32)
    assert masks[0, 8, 10] == masks[1, 8, 12] == masks[3, 20, 20] == masks[1, 0, 20] == 1
    assert masks[2].sum() == 0
    empty = class_masks(np.empty((0, 2)), np.empty(0, np.int64), 2, 4.0, (8, 8))
    np.testing.assert_array_equal(empty[2], 1)


def test_masks_refuse_what_has_no_place() -> None:
    with pytest.raises(InputError, match="atom 1 has no finite position"):
        soft_disks(np.array([[1.0, 1.0], [np.nan, 2.0]]), 3.0, (8, 8))
    with pytest.raises(InputError, match="radius"):
        disks(np.zeros((1, 2)), 0.0, (8, 8))
    with pytest.raises(InputError, match="class 2"):
        class_masks(np.zeros((1, 2)), np.array([2]), 2, 3.0, (8, 8))
