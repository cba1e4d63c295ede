"""The reader for napari, without napari: its plug-in engine, and the layers themselves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import ROOT
from recordings import atoms_of, image_of, recorded

from atomstream_napari import napari_get_reader, read_layers
from atomstream_service.record import About, RecordingWriter, write_selection

PLUGIN = ROOT / "clients" / "napari"


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    write_selection(tmp_path / "scan.h5", [recorded(k, pixel_size=(0.02, 0.01), maps=True) for k in range(6)], About("scan"))
    return tmp_path / "scan.h5"


def test_a_recording_becomes_an_image_with_points_and_maps(scan: Path) -> None:
    layers = read_layers(str(scan))

    assert [(about["name"], kind) for _, about, kind in layers] == [
        ("nion/usim HAADF", "image"),
        ("mean C", "image"),
        ("mean silicon", "image"),
        ("std C", "image"),
        ("std silicon", "image"),
        ("nion/usim HAADF atoms", "points"),
    ]
    assert {about["scale"] for _, about, _ in layers} == {(1.0, 0.02, 0.01)}
    images = layers[0][0]
    assert (images.shape, images.ndim, images.dtype, len(images)) == ((6, 48, 64), 3, np.uint16, 6)
    whole = np.stack([image_of(k) for k in range(6)])
    np.testing.assert_array_equal(images, whole)
    for key in (3, -1, (2, slice(3, 9)), (slice(1, 4), slice(None), 5), (slice(None, None, 2),), np.int64(1)):
        np.testing.assert_array_equal(images[key], whole[key])
    mean = layers[1][0]
    assert mean.shape == (6, 48, 64)
    expected = recorded(4, maps=True).mean
    assert expected is not None
    np.testing.assert_allclose(mean[4].astype(np.float32), expected[0], atol=5e-4)
    points, about, _ = layers[-1]
    np.testing.assert_array_equal(points, np.concatenate([np.insert(atoms_of(k)[:, :2].astype(float), 0, k, axis=1) for k in range(6)]))
    features = about["features"]
    assert set(features) == {"frame", "class", "p", "p_std", "votes", "sigma_y", "sigma_x", "area", "id"}
    assert set(features["class"]) == {"C", "silicon"}
    np.testing.assert_array_equal(features["p"], np.concatenate([atoms_of(k)[:, 3] for k in range(6)]))


def test_a_recording_that_is_still_written_is_shown_as_far_as_it_goes(tmp_path: Path) -> None:
    writer = RecordingWriter(tmp_path / "scan.h5", About("scan"), commit_s=1000)
    for k in range(3):
        writer.add(recorded(k, pixel_size=None))
    writer.commit()
    writer.add(recorded(3, pixel_size=None))

    (images, about, _), (points, _, _) = read_layers(str(tmp_path / "scan.h5"))
    assert len(images) == 3
    assert about["scale"] == (1.0, 1.0, 1.0)
    assert len(points) == 0 + 1 + 2
    writer.finish("stopped")


def test_other_files_are_left_to_other_plugins(tmp_path: Path, scan: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as h5:
        h5["data"] = np.zeros((3, 3))
    (tmp_path / "none.h5").write_bytes(b"no")

    assert napari_get_reader(str(scan)) is read_layers
    assert napari_get_reader(str(tmp_path / "other.h5")) is None
    assert napari_get_reader(str(tmp_path / "none.h5")) is None
    assert napari_get_reader([str(scan)]) is None


_THROUGH_NPE2 = """
import json, sys
from npe2 import PluginManager, PluginManifest, io_utils
manifest = PluginManifest.from_file(sys.argv[1])
PluginManager.instance().register(manifest)
layers, contribution = io_utils.read_get_reader([sys.argv[2]], stack=False)
print(json.dumps({"plugin": contribution.plugin_name, "kinds": [layer[2] for layer in layers], "shape": layers[0][0].shape}))
"""


@pytest.mark.skipif(find_spec("npe2") is None, reason="npe2 is not installed")
def test_napari_s_plugin_engine_reads_a_recording_through_the_manifest(scan: Path) -> None:
    # In a process of its own: importing npe2 warns of what pydantic will no longer have.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(PLUGIN), os.environ.get("PYTHONPATH", "")])}
    manifest = PLUGIN / "atomstream_napari" / "napari.yaml"
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _THROUGH_NPE2, str(manifest), str(scan)], env=environment, capture_output=True, text=True, check=False
    )

    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == {"plugin": "atomstream-napari", "kinds": ["image"] * 5 + ["points"], "shape": [6, 48, 64]}


def test_its_distribution_needs_h5py_and_numpy_alone() -> None:
    project = tomllib.loads((PLUGIN / "pyproject.toml").read_text())["project"]
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import atomstream_napari;print(sorted({'napari', 'npe2', 'zmq', 'atomstream_models'} & set(sys.modules)))"
    )

    assert [one.partition(">")[0] for one in project["dependencies"]] == ["h5py", "numpy"]
    assert project["entry-points"]["napari.manifest"] == {"atomstream-napari": "atomstream_napari:napari.yaml"}
    assert subprocess.run([sys.executable, "-c", code, str(PLUGIN)], capture_output=True, text=True, check=True).stdout.strip() == "[]"
