from __future__ import annotations

import csv
import importlib
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recordings import atoms_of, image_of, recorded

from atomstream_models.recording import atomai_coordinates, open_recording
from atomstream_service.cli import main
from atomstream_service.record import About, write_selection

COLUMNS = ["frame", "y", "x", "class", "p", "p_std", "votes", "sigma_y", "sigma_x", "area", "id"]


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """Frames 0 to 9 with 0 to 4 atoms each; the pixel size of the last five is unknown."""
    items = [recorded(k, pixel_size=(0.02, 0.01) if k < 5 else None) for k in range(10)]
    write_selection(tmp_path / "scan.h5", items, About("scan"))
    return tmp_path / "scan.h5"


def _rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as text:
        return list(csv.DictReader(text))


def test_csv_has_every_atom_with_its_class_by_name_and_nm_where_they_are_known(scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(scan), "--out", str(tmp_path / "atoms.csv"), "--json"]) == 0

    said = json.loads(capsys.readouterr().out)
    assert said == {"out": str(tmp_path / "atoms.csv"), "format": "csv", "frames": 10, "atoms": 20, "complete": True}
    rows = _rows(tmp_path / "atoms.csv")
    assert list(rows[0]) == [*COLUMNS, "y_nm", "x_nm"]
    assert [int(row["frame"]) for row in rows] == [k for k in range(10) for _ in range(k % 5)]
    expected = np.concatenate([atoms_of(k) for k in range(10)])
    for name, column in (("y", 0), ("x", 1), ("p", 3), ("area", 8), ("id", 9)):
        np.testing.assert_array_equal(np.array([row[name] for row in rows], np.float32), expected[:, column])
    assert [row["class"] for row in rows] == [("C", "silicon")[int(k)] for k in expected[:, 2]]
    assert {row["sigma_y"] for row, atom in zip(rows, expected, strict=True) if math.isnan(atom[6])} == {""}
    assert float(rows[0]["y_nm"]) == pytest.approx(0.02 * expected[0, 0])
    assert float(rows[0]["x_nm"]) == pytest.approx(0.01 * expected[0, 1])
    assert rows[-1]["y_nm"] == ""


def test_frames_are_chosen_and_a_pixel_size_given(scan: Path, tmp_path: Path) -> None:
    assert main(["export", str(scan), "--out", str(tmp_path / "without.csv"), "--frames", "5-7"]) == 0
    assert main(["export", str(scan), "--out", str(tmp_path / "with.csv"), "--frames", "6,9", "--pixel-size-nm", "0.5"]) == 0

    assert list(_rows(tmp_path / "without.csv")[0]) == COLUMNS
    rows = _rows(tmp_path / "with.csv")
    assert {int(row["frame"]) for row in rows} == {6, 9}
    assert float(rows[0]["y_nm"]) == pytest.approx(0.5 * float(rows[0]["y"]))


def test_parquet_has_the_same_columns_with_types(scan: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    assert main(["export", str(scan), "--out", str(tmp_path / "atoms.parquet")]) == 0

    table = parquet.read_table(tmp_path / "atoms.parquet")
    assert table.column_names == [*COLUMNS, "y_nm", "x_nm"]
    assert [str(table.schema.field(name).type) for name in ("frame", "y", "class", "votes", "y_nm")] == ["int64", "float", "string", "int64", "double"]
    expected = np.concatenate([atoms_of(k) for k in range(10)])
    np.testing.assert_array_equal(table["y"].to_numpy(), expected[:, 0])
    assert table["sigma_y"].null_count == np.isnan(expected[:, 6]).sum()
    assert table["y_nm"].null_count == 10


def test_extended_xyz_holds_structures_in_angstrom(scan: Path, tmp_path: Path) -> None:
    io: Any = pytest.importorskip("ase.io")
    assert main(["export", str(scan), "--out", str(tmp_path / "atoms.xyz"), "--frames", "0-4"]) == 0

    structures = io.read(tmp_path / "atoms.xyz", index=":", format="extxyz")
    assert [len(one) for one in structures] == [0, 1, 2, 3, 4]
    last, atoms = structures[-1], atoms_of(4)
    np.testing.assert_allclose(last.positions, np.column_stack([0.1 * atoms[:, 1], 0.2 * atoms[:, 0], np.zeros(4)]), atol=1e-6)
    np.testing.assert_allclose(np.diag(last.cell), [6.4, 9.6, 10.0])
    assert list(last.symbols) == ["C", "X", "C", "X"]
    assert list(last.arrays["class"]) == ["C", "silicon", "C", "silicon"]
    assert list(last.arrays["id"]) == [100, 101, 102, 103]
    assert math.isnan(last.arrays["sigma_y"][-1])
    assert (last.info["frame"], last.info["source"], last.info["generation"]) == (4, "nion/usim", 0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--out", "atoms.xyz"], "pixel size of frame 5 is unknown"),
        (["--out", "atoms.txt"], "give --format"),
        (["--out", "atoms.csv", "--frames", "3-12"], "there is no frame 12"),
        (["--out", "none/atoms.csv"], "no folder"),
        (["--out", "scan.h5", "--format", "csv"], "read by this command"),
        (["--out", "atoms.csv", "--pixel-size-nm", "0"], "not above 0"),
    ],
)
def test_an_export_that_is_not_possible_says_why_and_leaves_nothing(
    scan: Path, tmp_path: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = scan.read_bytes()

    assert main(["export", "scan.h5", *arguments]) == 1
    assert said in capsys.readouterr().err
    assert [one.name for one in tmp_path.iterdir()] == ["scan.h5"]
    assert scan.read_bytes() == before


@pytest.mark.parametrize(("ending", "package", "extra"), [("parquet", "pyarrow", "parquet"), ("xyz", "ase", "structures")])
def test_a_missing_extra_is_named(
    scan: Path, tmp_path: Path, ending: str, package: str, extra: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # What Python does for a package that isn't there.
    for name in (package, f"{package}.io", f"{package}.data"):
        monkeypatch.setitem(sys.modules, name, None)

    assert main(["export", str(scan), "--out", str(tmp_path / f"atoms.{ending}"), "--frames", "0-4"]) == 1
    assert f"pip install 'atomstream[{extra}]'" in capsys.readouterr().err


def test_npz_holds_coordinates_as_atomai_gives_them(scan: Path, tmp_path: Path) -> None:
    assert main(["export", str(scan), "--out", str(tmp_path / "atoms.npz"), "--frames", "2-6"]) == 0

    with np.load(tmp_path / "atoms.npz") as archive:
        coordinates = {int(name): archive[name] for name in archive.files}
    with open_recording(scan) as recording:
        same = atomai_coordinates(recording, range(2, 7))
    assert list(coordinates) == list(same) == [2, 3, 4, 5, 6]
    for number, atoms in coordinates.items():
        assert (atoms.shape, atoms.dtype) == ((number % 5, 3), np.float64)
        np.testing.assert_array_equal(atoms, atoms_of(number)[:, :3])
        np.testing.assert_array_equal(atoms, same[number])


@pytest.mark.filterwarnings("ignore")
def test_hspy_is_a_signal_of_hyperspy_with_frames_axes_and_atoms(scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("hyperspy", exc_type=ImportError)
    hs: Any = importlib.import_module("hyperspy.api")
    assert main(["export", str(scan), "--out", str(tmp_path / "atoms.hspy"), "--frames", "1-4", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["atoms"] == 10

    signal = hs.load(str(tmp_path / "atoms.hspy"))
    assert type(signal).__name__ == "Signal2D"
    np.testing.assert_array_equal(signal.data, [image_of(k) for k in range(1, 5)])
    assert signal.data.dtype == np.uint16
    x, y = signal.axes_manager.signal_axes
    assert [(one.name, one.scale, one.units) for one in (y, x)] == [("y", 0.02, "nm"), ("x", 0.01, "nm")]
    for place in range(4):
        signal.axes_manager.indices = (place,)
        points = signal.metadata.Markers.Points.get_current_kwargs()["offsets"]
        np.testing.assert_allclose(points, atoms_of(place + 1)[:, 1::-1] * [0.01, 0.02], rtol=1e-6)
    table = signal.original_metadata.Atomstream.atoms
    assert signal.original_metadata.Atomstream.columns == COLUMNS
    np.testing.assert_array_equal(table[:, 0], [k for k in range(1, 5) for _ in range(k)])
    np.testing.assert_array_equal(table[:, 1:], np.concatenate([atoms_of(k) for k in range(1, 5)]))
    assert main(["export", str(scan), "--out", str(tmp_path / "mixed.hspy")]) == 1
    assert "pixel size" in capsys.readouterr().err
    assert sorted(one.name for one in tmp_path.iterdir()) == ["atoms.hspy", "scan.h5"]
