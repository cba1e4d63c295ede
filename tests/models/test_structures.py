from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import cKDTree

from atomstream_models.errors import InputError
from atomstream_models.simulation import (
    B_SITE,
    HOST,
    Beam,
    Column,
    Imaging,
    Multislice,
    Projection,
    Specimen,
    crop,
    expose,
    graphene_cell,
    molecular_dynamics,
    multislice_image,
    read_structures,
    remove_one_by_one,
    specimens_of,
)

ase = pytest.importorskip("ase")
from ase.build import bulk, mx2  # noqa: E402
from ase.io import write  # noqa: E402

FIELD = (3.0, 4.0)
GRAPHENE = Projection(FIELD, {"C": 0, "Si": 1})


@pytest.mark.parametrize(
    ("name", "file_format"), [("a.extxyz", "extxyz"), ("XDATCAR", "vasp-xdatcar"), ("a.traj", "traj"), ("POSCAR", "vasp"), ("a.cif", "cif")]
)
def test_structures_come_from_any_format(tmp_path: Path, name: str, file_format: str) -> None:
    sheet = graphene_cell((2, 2))
    several = [sheet, sheet] if file_format in {"extxyz", "vasp-xdatcar", "traj"} else [sheet]
    for atoms in several:
        atoms.pbc = True
    write(tmp_path / name, several, format=file_format)
    found = read_structures(tmp_path / name)

    assert len(found) == len(several)
    (specimen,) = specimens_of(found[:1], GRAPHENE)
    inside = crop(specimen, FIELD)
    assert specimen.neighbour_nm == pytest.approx(0.246 / np.sqrt(3), rel=1e-4)
    assert len(inside.kind) == pytest.approx(12 * 38.2, rel=0.05)
    np.testing.assert_allclose(np.asarray(cKDTree(specimen.positions_nm).query(inside.positions_nm, k=2)[0])[:, 1], 0.246 / np.sqrt(3), rtol=1e-4)


def test_files_that_hold_no_structure_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "broken.extxyz").write_text("3\nnonsense\nC 0 0\n")
    (tmp_path / "strange.bin").write_bytes(b"\x00\x01" * 50)
    (tmp_path / "empty.xyz").write_text("")
    for name in ("broken.extxyz", "strange.bin", "empty.xyz", "absent.cif"):
        with pytest.raises(InputError, match=name):
            read_structures(tmp_path / name)
    write(tmp_path / "one.xyz", graphene_cell((1, 1)))
    with pytest.raises(InputError, match=r"one\.xyz"):
        read_structures(tmp_path / "one.xyz", "7")


def test_atoms_on_top_of_each_other_are_one_column() -> None:
    (sheet,) = specimens_of([mx2("MoS2", a=3.16, thickness=3.19, vacuum=5)], Projection(FIELD, {"Mo": 0, "S": 1}))

    assert sheet.neighbour_nm == pytest.approx(0.316 / np.sqrt(3), rel=1e-6)
    np.testing.assert_allclose(sheet.brightness[sheet.kind == 0], 1)
    np.testing.assert_allclose(sheet.brightness[sheet.kind == 1], 2 * (16 / 42) ** 1.7)


def test_the_beam_runs_along_the_chosen_axis() -> None:
    crystal = bulk("NiO", "rocksalt", a=4.177, cubic=True)
    for axis in ("x", "y", "z"):
        (seen,) = specimens_of([crystal], Projection(FIELD, {"Ni": 0, "O": 0}, reference="Ni", beam=axis))
        assert seen.neighbour_nm == pytest.approx(0.4177 / 2)
        np.testing.assert_allclose(seen.brightness, 1 + (8 / 28) ** 1.7)
    tall = ase.Atoms("C2", [[0, 0, 0], [0, 0, 3.0]])
    (side,) = specimens_of([tall], Projection(FIELD, {"C": 0}, beam="x"))
    np.testing.assert_allclose(np.ptp(side.positions_nm, axis=0), [0.3, 0.0], atol=1e-12)


def test_a_cluster_stands_alone_in_the_middle() -> None:
    cluster = ase.Atoms("C2Pt", [[0, 0, 0], [1.4, 0, 0], [2.8, 0, 0]])
    (seen,) = specimens_of([cluster], Projection(FIELD, {"C": 0}, offset_nm=(0.1, 0.0)))

    np.testing.assert_allclose(seen.positions_nm, [[1.6, 1.86], [1.6, 2.0], [1.6, 2.14]])
    np.testing.assert_array_equal(seen.kind, [0, 0, -1])
    with pytest.raises(InputError, match="Pt"):
        specimens_of([cluster], Projection(FIELD, {"C": 0}, unknown="refuse"))


def test_a_turned_structure_still_covers_the_field() -> None:
    (sheet,) = specimens_of([graphene_cell((3, 3))], Projection(FIELD, {"C": 0}, rotation_rad=0.7, offset_nm=(0.3, 1.1)))
    corners = np.array([[0, 0], [0, FIELD[1]], [FIELD[0], 0], FIELD])

    assert np.asarray(cKDTree(sheet.positions_nm).query(corners)[0]).max() < 0.143


def test_structures_that_make_no_specimen_are_refused_with_the_reason() -> None:
    one = ase.Atoms("C", [[0, 0, 0]])

    assert specimens_of([], GRAPHENE) == []
    assert len(specimens_of([ase.Atoms()], Projection(FIELD, {"C": 0}, neighbour_nm=0.142))[0].kind) == 0
    assert len(specimens_of([one], Projection(FIELD, {"C": 0}, neighbour_nm=0.142))[0].kind) == 1
    with pytest.raises(InputError, match="give neighbour_nm"):
        specimens_of([one], GRAPHENE)
    with pytest.raises(InputError, match="reference"):
        specimens_of([one], Projection(FIELD, {"C": 1}))
    with pytest.raises(InputError, match="at most"):
        specimens_of([graphene_cell()], Projection((1e5, 1e5), {"C": 0}))


def test_forces_are_those_of_ases_own_potential() -> None:
    reference = pytest.importorskip("ase.calculators.tersoff", reason="ASE before 3.25 has no Tersoff potential to compare with")
    from atomstream_models.simulation._tersoff import CarbonTersoff  # noqa: PLC0415

    sheet = graphene_cell((4, 4))
    sheet.rattle(0.08, seed=1)
    del sheet[[3, 9, 10]]
    ours = sheet.copy()
    ours.calc = CarbonTersoff()
    values = reference.TersoffParameters(3, 1, 0, 38049, 4.3484, -0.93, 0.72751, 1.5724e-7, 2.2119, 430.0, 1.95, 0.15, 3.4879, 1393.6)
    sheet.calc = reference.Tersoff({("C", "C", "C"): values})

    assert ours.get_potential_energy() == pytest.approx(sheet.get_potential_energy(), rel=1e-12)
    np.testing.assert_allclose(ours.get_forces(), sheet.get_forces(), atol=1e-10)


def test_carbon_moves_as_its_temperature_says_and_repeats_for_a_seed() -> None:
    sheet = graphene_cell((4, 4))
    rest = sheet.positions.copy()
    one, other = (molecular_dynamics(sheet, steps=200, every=50, seed=3) for _ in range(2))
    apart = np.concatenate([(s.positions - s.positions.mean(axis=0)) - (rest - rest.mean(axis=0)) for s in one[1:]])

    np.testing.assert_array_equal(sheet.positions, rest)
    np.testing.assert_array_equal(one[-1].positions, other[-1].positions)
    assert len(one) == 4
    assert 0.02 < apart[:, :2].std() < 0.12
    assert (molecular_dynamics(sheet, steps=50, every=50, seed=4)[0].positions != one[0].positions).any()


def test_atoms_leave_one_by_one_while_the_rest_moves() -> None:
    counts = [[len(s) for s in stage] for stage in remove_one_by_one(graphene_cell((2, 2)), last=1, step=3, steps=4, every=2)]

    assert counts == [[8, 8], [5, 5], [2, 2], [1, 1]]


def test_the_dynamics_refuses_what_it_cannot_move() -> None:
    with pytest.raises(InputError, match="Si"):
        molecular_dynamics(ase.Atoms("CSi", [[0, 0, 0], [1.5, 0, 0]]))
    with pytest.raises(InputError, match="snapshot every 100"):
        molecular_dynamics(graphene_cell(), steps=10, every=100)
    assert len(molecular_dynamics(ase.Atoms(), steps=10, every=5)[1]) == 0


def test_multislice_agrees_with_the_sum_of_gaussians_about_where_atoms_are_and_which_is_heavy() -> None:
    pytest.importorskip("abtem")
    pair = Specimen(np.array([[0.15, 0.12], [0.15, 0.32]]), np.array([1.0, 4.2]), np.array([HOST, 1]), 0.2)
    imaging = Imaging(0.02, (15, 22), (0.045, 0.045), background=0.0)
    image = Multislice(Beam(source_nm=0.035), {0: Column((6,), (0.0,)), 1: Column((14,), (0.0,))})(pair, imaging, rng=np.random.default_rng(0))
    sums = expose(pair, imaging, rng=np.random.default_rng(0))

    assert image.shape == (15, 22)
    assert np.corrcoef(image.ravel(), sums.ravel())[0, 1] > 0.97
    assert image[7:9, 6].max() == pytest.approx(1, abs=0.15)
    assert 4 < image[7:9, 16].max() < 7


def test_multislice_refuses_columns_it_does_not_know_and_angles_out_of_reach() -> None:
    atoms = Specimen(np.array([[0.1, 0.1]]), np.ones(1), np.array([B_SITE]), 0.2)
    with pytest.raises(InputError, match="kind"):
        Multislice(Beam(), {0: Column((6,), (0.0,))})(atoms, Imaging(0.02, (8, 8), (0.04, 0.04)), rng=np.random.default_rng(0))
    pytest.importorskip("abtem")
    with pytest.raises(InputError, match="mrad only"):
        multislice_image(ase.Atoms("C", [[1, 1, 0]]), Beam(detector_mrad=(80, 500)), 0.02, (8, 8))
    assert multislice_image(ase.Atoms(), Beam(), 0.02, (8, 9)).shape == (8, 9)
