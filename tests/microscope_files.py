"""Files of frames, each made by the format's own writer or by its maker's package where one is to be had, and what could not be: TIA's and Velox's."""

from __future__ import annotations

import importlib
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import tifffile
from numpy.typing import NDArray

PIXEL_NM = (0.02, 0.01)
"""(y, x): not the same, so that a reader that takes one for the other is seen."""


def frames(dtype: str = "<f4", count: int = 3) -> NDArray[Any]:
    """Not square, and no two pixels alike."""
    return np.arange(count * 24 * 40).reshape(count, 24, 40).astype(dtype)


def write_npy(file: Path, images: NDArray[Any]) -> None:
    np.save(file, images)


def write_npz(file: Path, images: NDArray[Any]) -> None:
    np.savez_compressed(file, images=images, pixel_size_nm=PIXEL_NM)


def write_imagej(file: Path, images: NDArray[Any]) -> None:
    per_unit = (1 / PIXEL_NM[1], 1 / PIXEL_NM[0])
    tifffile.imwrite(file, images, imagej=True, resolution=per_unit, metadata={"unit": "nm", "axes": "TYX"})


def write_ome(file: Path, images: NDArray[Any]) -> None:
    """Each frame compressed on a page of its own."""
    about = {"axes": "TYX", "PhysicalSizeY": 10 * PIXEL_NM[0], "PhysicalSizeX": PIXEL_NM[1] / 1000, "PhysicalSizeYUnit": "Å"}
    tifffile.imwrite(file, images, ome=True, compression="zlib", metadata=about)


def write_hyperspy(file: Path, images: NDArray[Any], units: str = "nm", scale: float = 1.0) -> None:
    """.hspy, .zspy, .tif and the Berkeley kind of .emd, by HyperSpy; `scale` of the unit in a nm."""
    hs: Any = importlib.import_module("hyperspy.api")
    t = {"name": "t", "size": len(images), "scale": 0.5, "offset": 0.0, "units": "s", "navigate": True}
    yx = [
        {"name": name, "size": side, "scale": step * scale, "offset": 0.0, "units": units, "navigate": False}
        for name, side, step in zip("yx", images.shape[1:], PIXEL_NM, strict=True)
    ]
    hs.signals.Signal2D(images, axes=[t, *yx]).save(str(file), overwrite=True)


def write_ncem(file: Path, images: NDArray[Any]) -> None:
    """The Berkeley kind of .emd, by ncempy, whose axes stand the other way round."""
    emd: Any = importlib.import_module("ncempy.io.emd")
    emd.emdWriter(file, images, pixel_size=(1, *PIXEL_NM), pixel_unit=("s", "nm", "nm"), overwrite=True)


def write_mrc(file: Path, images: NDArray[Any]) -> None:
    mrcfile: Any = importlib.import_module("mrcfile")
    with mrcfile.new(file, overwrite=True) as mrc:
        mrc.set_data(images)
        mrc.set_image_stack()
        mrc.voxel_size = (10 * PIXEL_NM[1], 10 * PIXEL_NM[0], 1.0)


def write_dm(file: Path, images: NDArray[Any]) -> None:
    """.dm3 and .dm4, by Nion's package."""
    data: Any = importlib.import_module("nion.data.DataAndMetadata")
    scale: Any = importlib.import_module("nion.data.Calibration").Calibration
    writer: Any = importlib.import_module("nionswift_plugin.DM_IO.dm3_image_utils")
    calibrations = [scale(0, 0.5, "s"), scale(0, PIXEL_NM[0], "nm"), scale(0, PIXEL_NM[1], "nm")]
    item = data.new_data_and_metadata(images, dimensional_calibrations=calibrations, data_descriptor=data.DataDescriptor(True, 0, 2))
    with file.open("wb") as out:
        writer.save_image(item, out, int(file.suffix[-1]))


def _nion_properties(images: NDArray[Any]) -> str:
    scale: Any = importlib.import_module("nion.data.Calibration").Calibration
    calibrations = [scale(0, 0.5, "s"), scale(0, PIXEL_NM[0], "nm"), scale(0, PIXEL_NM[1], "nm")]
    source = {"data_shape": list(images.shape), "data_dtype": str(images.dtype), "is_sequence": True, "collection_dimension_count": 0}
    return json.dumps({"data_sources": [{**source, "datum_dimension_count": 2, "dimensional_calibrations": [one.write_dict() for one in calibrations]}]})


def write_ndata(file: Path, images: NDArray[Any]) -> None:
    """As Nion Swift's NDataHandler writes it: stored, not compressed; calibrations by Nion's package."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        with archive.open("data.npy", "w") as data:
            np.lib.format.write_array(data, images)
        archive.writestr("metadata.json", _nion_properties(images))


def write_exported_ndata(file: Path, images: NDArray[Any]) -> None:
    """As Nion Swift's NDataImportExportHandler writes it."""
    calibrations = [{"offset": 0.0, "scale": scale, "units": units} for scale, units in ((0.5, "s"), (PIXEL_NM[0], "nm"), (PIXEL_NM[1], "nm"))]
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("metadata.json", json.dumps({"version": 1, "is_sequence": True, "spatial_calibrations": calibrations}))
        with archive.open("data.npy", "w") as data:
            np.lib.format.write_array(data, images)


def write_exported_h5(file: Path, images: NDArray[Any]) -> None:
    """As Nion Swift's HDFImportExportDriver writes it."""
    properties = json.loads(_nion_properties(images))["data_sources"][0]
    with h5py.File(file, "w") as h5:
        h5.create_group("index").attrs["1"] = "{}"
        h5.create_dataset("data/0", data=images).attrs["properties"] = json.dumps(properties)


def write_nion_h5(file: Path, images: NDArray[Any]) -> None:
    """As Nion Swift's HDF5Handler writes it."""
    with h5py.File(file, "w") as h5:
        h5.create_dataset("data", data=images).attrs["properties"] = _nion_properties(images)


def write_ser(file: Path, images: NDArray[Any], version: int = 0x220) -> None:
    """By the published layout: nobody but TIA itself writes these."""
    count, rows, columns = images.shape
    kind = {"u2": 2, "i2": 5, "f4": 7}[images.dtype.str[1:]]
    word = "Q" if version >= 0x220 else "I"
    dimension = struct.pack("<IddII6sI", count, 0.0, 1.0, 0, 6, b"Number", 0)
    table = 22 + struct.calcsize(f"<{word}") + 4 + len(dimension)
    first = table + 2 * count * struct.calcsize(f"<{word}")
    size, tag = 50 + images[0].nbytes, struct.pack("<HHI", 0x4152, 0, 0)
    starts = [first + k * (size + len(tag)) for k in range(count)]
    with file.open("wb") as out:
        out.write(struct.pack(f"<HHHIIII{word}I", 0x4949, 0x0197, version, 0x4122, 0x4152, count, count, table, 1) + dimension)
        out.write(struct.pack(f"<{2 * count}{word}", *starts, *(start + size for start in starts)))
        for image in images:
            out.write(struct.pack("<ddIddIHII", 0.0, 1e-9 * PIXEL_NM[1], 0, 0.0, 1e-9 * PIXEL_NM[0], 0, kind, columns, rows))
            out.write(image[::-1].tobytes() + tag)


def write_velox(file: Path, images: NDArray[Any], detectors: tuple[str, ...] = ("HAADF",)) -> None:
    """By the layout that ncempy and RosettaSciIO read: nobody but Velox itself writes these."""
    with h5py.File(file, "w") as h5:
        h5["Version"] = np.array([b'{"format": "Velox", "version": "1.9"}'])
        for k, detector in enumerate(detectors):
            size = {"width": str(1e-9 * PIXEL_NM[1]), "height": str(1e-9 * PIXEL_NM[0])}
            about = {
                "BinaryResult": {"PixelSize": size, "PixelUnitX": "m", "PixelUnitY": "m", "Detector": detector, "DetectorIndex": str(k)},
                "Scan": {"FrameTime": "0.5", "DwellTime": "1e-6"},
                "Acquisition": {"AcquisitionStartDatetime": {"DateTime": "1795336885"}},
                "Detectors": {f"Detector-{k}": {"DetectorName": detector}},
                "Optics": {},
                "Sample": {},
                "Core": {},
                "Instrument": {},
                "Stage": {},
            }
            text = np.frombuffer(json.dumps(about).encode().ljust(4096, b"\0"), np.uint8)
            group = h5.create_group(f"Data/Image/{k:032x}")
            group["Metadata"] = np.tile(text[:, None], (1, len(images)))
            group.create_dataset("Data", data=np.moveaxis(images + k, 0, -1), chunks=(*images.shape[1:], 1))


def write_prismatic(file: Path, images: NDArray[Any]) -> None:
    """By the source of Prismatic (setupVDOutput in src/fileIO.cpp), which only runs where it is compiled: (x, y, detector)."""
    with h5py.File(file, "w") as h5:
        group = h5.create_group("4DSTEM_simulation/data/realslices/virtual_detector_depth0000")
        group.attrs["emd_group_type"] = 1
        group["realslice"] = np.transpose(images, (2, 1, 0))
        steps = (("R_x", 10 * PIXEL_NM[1], "[Å]"), ("R_y", 10 * PIXEL_NM[0], "[Å]"), ("bin_outer_angle", 1.0, "[mrad]"))
        for k, (name, step, unit) in enumerate(steps):
            group[f"dim{k + 1}"] = step * np.arange(group["realslice"].shape[k])
            group[f"dim{k + 1}"].attrs.update({"name": np.bytes_(name), "units": np.bytes_(unit.encode())})


WRITERS: dict[str, Callable[[Path, NDArray[Any]], None]] = {
    "numpy.npy": write_npy,
    "numpy.npz": write_npz,
    "imagej.tif": write_imagej,
    "ome.ome.tif": write_ome,
    "hyperspy.tif": write_hyperspy,
    "hyperspy.hspy": write_hyperspy,
    "hyperspy.zspy": write_hyperspy,
    "hyperspy.emd": write_hyperspy,
    "ncempy.emd": write_ncem,
    "velox.emd": write_velox,
    "prismatic.emd": write_prismatic,
    "mrcfile.mrc": write_mrc,
    "tia.ser": write_ser,
    "nion.ndata": write_ndata,
    "nion.h5": write_nion_h5,
    "exported.ndata": write_exported_ndata,
    "exported.h5": write_exported_h5,
    "nion.dm3": write_dm,
    "nion.dm4": write_dm,
}
