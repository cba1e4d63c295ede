"""Files of frames of every format, as other programs write them."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
import tracemalloc
import warnings
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile
from microscope_files import PIXEL_NM, WRITERS, frames, write_dm, write_hyperspy, write_mrc, write_ndata, write_npz, write_ser, write_velox
from numpy.typing import NDArray

from atomstream_models.errors import ExtraMissing
from atomstream_models.movies import UnreadableFile, open_movie, read_movie
from atomstream_models.movies import _blocks as blocks

for _package in ("hyperspy", "mrcfile", "ncempy", "nionswift_plugin", "rsciio", "zarr"):
    pytest.importorskip(_package, exc_type=ImportError)

pytestmark = pytest.mark.filterwarnings("ignore")
"""Other people's packages warn of their own future."""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file of each format, of unsigned whole numbers."""
    folder = tmp_path_factory.mktemp("formats")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, write in WRITERS.items():
            write(folder / name, frames("<u2"))
    return folder


@pytest.mark.parametrize("name", WRITERS)
def test_frames_and_pixel_size_come_from_every_format(written: Path, name: str) -> None:
    with open_movie(written / name) as movie:
        images = list(movie)

    assert movie.shape == (3, 24, 40)
    np.testing.assert_array_equal(images, frames("<u2"))
    assert {image.dtype for image in images} == {movie.dtype}
    assert all(image.flags.c_contiguous and image.flags.owndata for image in images)
    assert movie.pixel_nm == (None if name == "numpy.npy" else pytest.approx(PIXEL_NM, rel=1e-6))


@pytest.mark.parametrize("name", WRITERS)
def test_frames_are_read_in_any_order(written: Path, name: str) -> None:
    with open_movie(written / name) as movie:
        for number in (2, 0, 1, 0):
            np.testing.assert_array_equal(movie[number], frames("<u2")[number])
        with pytest.raises(IndexError):
            movie[3]


@pytest.mark.parametrize(("units", "scale"), [("Å", 10.0), ("pm", 1000.0), ("µm", 1e-3), ("nm", 1.0)])
def test_pixel_sizes_in_any_unit_of_length_are_nm(tmp_path: Path, units: str, scale: float) -> None:
    write_hyperspy(tmp_path / "a.hspy", frames(), units, scale)
    write_hyperspy(tmp_path / "a.emd", frames(), units, scale)

    for name in ("a.hspy", "a.emd"):
        with open_movie(tmp_path / name) as movie:
            assert movie.pixel_nm == pytest.approx(PIXEL_NM, rel=1e-6)


@pytest.mark.parametrize("name", ["hyperspy.hspy", "hyperspy.emd"])
def test_a_scale_in_anything_but_a_length_is_no_pixel_size(tmp_path: Path, name: str) -> None:
    write_hyperspy(tmp_path / name, frames(), "1/nm")

    with open_movie(tmp_path / name) as movie:
        assert movie.pixel_nm is None


def test_tia_and_velox_files_are_read_as_by_two_other_readers(tmp_path: Path) -> None:
    write_ser(tmp_path / "a.ser", frames("<u2"))
    write_ser(tmp_path / "old.ser", frames("<i2"), version=0x210)
    write_velox(tmp_path / "a.emd", frames("<u2"))
    tia, velox = (importlib.import_module(f"rsciio.{name}") for name in ("tia", "emd"))
    ncem_ser, ncem_velox = (importlib.import_module(f"ncempy.io.{name}") for name in ("ser", "emdVelox"))

    for file, reader in (("a.ser", tia), ("old.ser", tia), ("a.emd", velox)):
        (theirs,) = reader.file_reader(str(tmp_path / file))
        with open_movie(tmp_path / file) as movie:
            np.testing.assert_array_equal(movie.whole(), theirs["data"])
            assert movie.pixel_nm == pytest.approx(PIXEL_NM)
            if file != "a.emd":  # which gives them in a unit of its own choice
                assert [axis["scale"] for axis in theirs["axes"][1:]] == pytest.approx(list(PIXEL_NM))
    np.testing.assert_array_equal(ncem_ser.serReader(str(tmp_path / "a.ser"))["data"], frames("<u2"))
    with ncem_velox.fileEMDVelox(str(tmp_path / "a.emd")) as opened:
        data, about = opened.get_dataset(0)
        np.testing.assert_array_equal(np.moveaxis(data, -1, 0) if data.shape[0] == 24 else data, frames("<u2"))
        assert tuple(about["pixelSize"][::-1]) == pytest.approx(PIXEL_NM)


@pytest.mark.parametrize(("stamp", "flags", "dtype"), [(0, 0, "<i2"), (1146047817, 0, "u1"), (1146047817, 1, "<i2"), (1146047817, 4, "u1")])
def test_bytes_of_an_mrc_file_have_the_sign_that_imod_says(tmp_path: Path, stamp: int, flags: int, dtype: str) -> None:
    data = frames("<u1")
    write_mrc(tmp_path / "a.mrc", data.view("i1"))
    with (tmp_path / "a.mrc").open("r+b") as out:
        out.seek(152)
        out.write(np.array([stamp, flags], "<i4").tobytes())

    with open_movie(tmp_path / "a.mrc") as movie:
        assert movie.dtype == np.dtype(dtype)
        np.testing.assert_array_equal(movie.whole(), data if dtype == "u1" else data.view("i1"))


def test_a_file_that_holds_several_stacks_is_asked_for_one(tmp_path: Path) -> None:
    write_velox(tmp_path / "scan.emd", frames("<u2"), ("HAADF", "BF"))

    with pytest.raises(UnreadableFile, match=r"scan\.emd: it holds HAADF \[3, 24, 40\], BF \[3, 24, 40\]; name one"):
        open_movie(tmp_path / "scan.emd")
    with open_movie(Path(f"{tmp_path}/scan.emd::BF")) as movie:
        np.testing.assert_array_equal(movie.whole(), frames("<u2") + 1)
    with pytest.raises(UnreadableFile, match="no dataset 'DF2'"):
        open_movie(tmp_path / "scan.emd", "DF2")
    write_npz(tmp_path / "a.npz", frames())
    with pytest.raises(UnreadableFile, match=r"a\.npz: naming a dataset"):
        open_movie(tmp_path / "a.npz", "other")


def test_maps_and_lines_of_spectra_are_no_movies(tmp_path: Path) -> None:
    hs: Any = importlib.import_module("hyperspy.api")
    hs.signals.Signal1D(np.zeros((12, 13, 64))).save(str(tmp_path / "eels.hspy"))

    hs.signals.Signal1D(np.zeros((20, 64))).save(str(tmp_path / "line.hspy"))
    properties = {"data_sources": [{"is_sequence": False, "collection_dimension_count": 2, "datum_dimension_count": 1}]}
    with zipfile.ZipFile(tmp_path / "eels.ndata", "w") as archive:
        with archive.open("data.npy", "w") as data:
            np.lib.format.write_array(data, np.zeros((12, 13, 64)))
        archive.writestr("metadata.json", json.dumps(properties))
    with h5py.File(tmp_path / "eels.h5", "w") as h5:
        h5.create_dataset("data", data=np.zeros((12, 13, 64))).attrs["properties"] = json.dumps(properties)

    for name in ("eels.hspy", "line.hspy", "eels.ndata", "eels.h5"):
        with pytest.raises(UnreadableFile, match=rf"{name}.* holds spectra"):
            open_movie(tmp_path / name)


def _appended(file: Path, images: NDArray[Any], together: int = 1, **how: Any) -> None:
    with tifffile.TiffWriter(file) as tiff:
        for first in range(0, len(images), together):
            tiff.write(images[first : first + together] if together > 1 else images[first], **how)


def test_frames_that_were_appended_to_a_tiff_file_are_one_movie(tmp_path: Path) -> None:
    images = frames("<u2", count=6)
    _appended(tmp_path / "one.tif", images)
    _appended(tmp_path / "packed.tif", images, compression="zlib")
    _appended(tmp_path / "some.tif", images, together=2)
    with tifffile.TiffWriter(tmp_path / "thumbnail.tif") as tiff:
        tiff.write(images[0][::4, ::4], subfiletype=1, metadata=None)
        tiff.write(images, metadata=None)

    for name in ("one.tif", "packed.tif", "some.tif", "thumbnail.tif"):
        with open_movie(tmp_path / name) as movie:
            np.testing.assert_array_equal(movie.whole(), images)
            np.testing.assert_array_equal(movie[1], images[1])


def test_a_tiff_file_with_stacks_of_several_kinds_is_refused_with_what_it_holds(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "mixed.tif") as tiff:
        tiff.write(frames("<u2"), photometric="minisblack")
        tiff.write(frames("<u2")[:, ::2], photometric="minisblack")
    with tifffile.TiffWriter(tmp_path / "positions.ome.tif") as tiff:
        for k in range(2):
            tiff.write(frames("<u2") + k, photometric="minisblack", metadata={"axes": "TYX"})

    for name, there in (("mixed.tif", r"\[3, 24, 40\] of uint16, \[3, 12, 40\] of uint16"), ("positions.ome.tif", r"\[3, 24, 40\] of uint16, \[3, 24, 40\]")):
        with pytest.raises(UnreadableFile, match=rf"{name} holds several stacks: {there}"):
            open_movie(tmp_path / name)


@pytest.mark.parametrize(("dtype", "becomes"), [("?", "u1"), ("i1", "i2"), ("<i8", "<f8"), ("<u8", "<f8"), ("<f2", "<f4"), (">u2", ">u2"), (">f4", ">f4")])
def test_types_that_frames_can_not_have_become_wider_ones(tmp_path: Path, dtype: str, becomes: str) -> None:
    images = (frames("<i4") % 100).astype(dtype)
    np.save(tmp_path / "a.npy", images)

    with open_movie(tmp_path / "a.npy") as movie:
        assert movie.dtype == np.dtype(becomes)
        np.testing.assert_array_equal(movie.whole(), images)


@pytest.mark.parametrize("name", WRITERS)
def test_a_damaged_file_is_refused_by_name(written: Path, tmp_path: Path, name: str) -> None:
    half, other = tmp_path / f"half-{name}", tmp_path / f"other-{name}"
    if (written / name).is_dir():
        shutil.copytree(written / name, half)
        for chunk in [one for one in half.rglob("*") if one.is_file() and not one.name.startswith(".")]:
            chunk.write_bytes(chunk.read_bytes()[: chunk.stat().st_size // 2])
    else:
        whole = (written / name).read_bytes()
        half.write_bytes(whole[: len(whole) // 2])
    other.write_bytes(b"neither frames nor anything else " * 100)

    for file in (half, other):
        with pytest.raises(UnreadableFile, match=file.name.replace(".", r"\.")), open_movie(file) as movie:
            movie.whole()


def _sparse_npy(file: Path) -> None:
    with file.open("wb") as out:
        np.lib.format.write_array_header_1_0(out, {"shape": (8192, 512, 512), "fortran_order": False, "descr": "<f4"})
        out.truncate(out.tell() + (8192 << 20))


def _sparse_mrc(file: Path) -> None:
    WRITERS["mrcfile.mrc"](file, np.zeros((1, 512, 512), np.float32))
    with file.open("r+b") as out:
        out.seek(8)
        out.write(np.array([8192], "<i4").tobytes())
        out.truncate(1024 + (8192 << 20))


def _sparse_tiff(file: Path) -> None:
    tifffile.memmap(file, shape=(8192, 512, 512), dtype=np.float32, bigtiff=True).flush()


def _sparse_hdf5(file: Path) -> None:
    write_hyperspy(file, np.zeros((1, 512, 512), np.float32)) if file.suffix == ".hspy" else write_velox(file, np.zeros((1, 512, 512), np.float32))
    with h5py.File(file, "r+") as h5:
        name = "Data/Image/" + "0" * 32 + "/Data" if file.suffix == ".emd" else next(f"Experiments/{one}/data" for one in h5["Experiments"])
        del h5[name]
        shape, chunks = ((8192, 512, 512), (7, 512, 512)) if file.suffix == ".hspy" else ((512, 512, 8192), (512, 512, 1))
        h5.create_dataset(name, shape, "<f4", chunks=chunks)


def _sparse_zspy(file: Path) -> None:
    zarr: Any = importlib.import_module("zarr")
    write_hyperspy(file, np.zeros((1, 512, 512), np.float32))
    experiments = zarr.open(str(file), "r+")["Experiments"]
    name = next(iter(experiments))
    experiments[name].zeros("data", shape=(8192, 512, 512), chunks=(16, 512, 512), dtype="<f4", overwrite=True)
    experiments[name]["axis-0"].attrs["size"] = 8192


_SPARSE = {"a.npy": _sparse_npy, "a.mrc": _sparse_mrc, "a.tif": _sparse_tiff, "a.hspy": _sparse_hdf5, "a.emd": _sparse_hdf5, "a.zspy": _sparse_zspy}


@pytest.mark.parametrize("name", _SPARSE)
def test_of_eight_gigabytes_only_the_frames_that_are_asked_for_are_read(tmp_path: Path, name: str) -> None:
    _SPARSE[name](tmp_path / name)
    tracemalloc.start()
    try:
        with open_movie(tmp_path / name) as movie:
            assert movie.shape == (8192, 512, 512)
            assert movie[8000].sum() + movie[3].sum() == 0
        assert tracemalloc.get_traced_memory()[1] < 80 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["a.dm4", "a.npz", "a.ndata", "a.ser"])
def test_of_a_file_only_a_few_frames_are_in_memory_at_once(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "_MOST_BYTES", 1 << 20)
    images = np.zeros((128, 256, 256), np.float32)
    {"a.dm4": write_dm, "a.npz": write_npz, "a.ndata": write_ndata, "a.ser": write_ser}[name](tmp_path / name, images)
    del images
    open_movie(tmp_path / name).close()  # what is imported for it takes memory, too
    tracemalloc.start()
    try:
        with open_movie(tmp_path / name) as movie:
            assert sum(image.sum() for image in movie) == 0
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_all_frames_at_once_are_those_one_by_one(written: Path) -> None:
    images, pixel_nm = read_movie(written / "tia.ser")

    np.testing.assert_array_equal(images, frames("<u2"))
    assert pixel_nm is None  # a single number for pixels that are not square would be wrong for one of the axes


def test_without_the_extra_its_formats_are_refused_and_all_others_read(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.partition(".")[0] == "rsciio"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "rsciio", None)

    for name in WRITERS:
        if name.endswith((".dm3", ".dm4", ".zspy")):
            with pytest.raises(ExtraMissing, match=r"rosettasciio.*atomstream\[formats\]"):
                open_movie(written / name)
        else:
            open_movie(written / name).close()


def test_nothing_under_the_gpl_is_imported_before_a_file_needs_it(written: Path) -> None:
    code = (
        "import sys; from pathlib import Path; import atomstream_service.cli, atomstream_service.engine, atomstream_service.control;"
        "from atomstream_models.movies import open_movie; open_movie(Path(sys.argv[1])).close();"
        "print(sorted({'rsciio', 'hyperspy', 'ncempy', 'nion'} & {name.partition('.')[0] for name in sys.modules}))"
    )
    ran = subprocess.run([sys.executable, "-c", code, str(written / "hyperspy.hspy")], capture_output=True, text=True, check=True)

    assert ran.stdout.strip() == "[]"
