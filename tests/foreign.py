"""Messages as other makers' programs send them, made with their own packages where these exist."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import cbor2
import h5py
import hdf5plugin
import numpy as np
from karabo_bridge import serialize
from numpy.typing import NDArray

Image = NDArray[Any]

_UNSIGNED = {"|u1": 64, ">u2": 65, ">u4": 66, ">u8": 67, "<u2": 69, "<u4": 70, "<u8": 71}
_SIGNED = {"|i1": 72, ">i2": 73, ">i4": 74, ">i8": 75, "<i2": 77, "<i4": 78, "<i8": 79}
_FLOATS = {">f2": 80, ">f4": 81, ">f8": 82, "<f2": 84, "<f4": 85, "<f8": 86}
TYPED_TAGS = _UNSIGNED | _SIGNED | _FLOATS
"""RFC 8746, section 2.1."""


def compressed(image: Image, algorithm: str, **settings: Any) -> bytes:
    """One chunk as HDF5's own filter writes it, which is how DECTRIS frames compressed bytes, too."""
    filters = hdf5plugin.LZ4(**settings) if algorithm == "lz4" else hdf5plugin.Bitshuffle(cname="lz4", **settings)
    with h5py.File("chunk.h5", "w", driver="core", backing_store=False) as file:
        dataset = file.create_dataset("x", data=image, chunks=image.shape, **filters)
        mask, chunk = dataset.id.read_direct_chunk((0,) * image.ndim)
    assert mask == 0, "the filter was left out"
    return bytes(chunk)


def dectris_array(image: Image, compression: str | None = None) -> cbor2.CBORTag:
    content: Any = image.tobytes()
    if compression is not None:
        content = cbor2.CBORTag(56500, [compression, image.itemsize if compression == "bslz4" else 0, compressed(image, compression)])
    return cbor2.CBORTag(40, [list(image.shape), cbor2.CBORTag(TYPED_TAGS[image.dtype.str], content)])


def dectris_start(channels: Mapping[str, Image], series: int = 7, **more: Any) -> list[bytes]:
    rows, columns = next(iter(channels.values())).shape
    message = {
        "type": "start",
        "arm_date": cbor2.CBORTag(0, "2026-11-26T09:00:00.000000+01:00"),
        "channels": list(channels),
        "detector_description": "DECTRIS ELA",
        "flatfield": {name: dectris_array(np.ones(image.shape, "<f4")) for name, image in channels.items()},
        "image_size_x": columns,
        "image_size_y": rows,
        "incident_energy": 1e5,
        "number_of_images": 100,
        "pixel_size_x": 7.5e-5,
        "pixel_size_y": 7.5e-5,
        "series_id": series,
        "series_unique_id": f"unique-{series}",
        "threshold_energy": dict.fromkeys(channels, 3e4),
    }
    return [cbor2.dumps(message | more)]


def dectris_image(channels: Mapping[str, Image], number: int = 0, series: int = 7, compression: str | None = None, **more: Any) -> list[bytes]:
    message = {
        "type": "image",
        "data": {name: dectris_array(image, compression) for name, image in channels.items()},
        "image_id": number,
        "real_time": [1000, 1_000_000],
        "series_date": cbor2.CBORTag(0, "2026-11-26T09:00:00.500000+01:00"),
        "series_id": series,
        "series_unique_id": f"unique-{series}",
        "start_time": [2_000_000, 1_000_000],
        "stop_time": [2_250_000, 1_000_000],
    }
    return [cbor2.dumps(message | more)]


def dectris_end(series: int = 7) -> list[bytes]:
    return [cbor2.dumps({"type": "end", "series_id": series, "series_unique_id": f"unique-{series}"})]


def thinned(products: Mapping[str, Image], batch: int = 0, receiver: int = 0, **more: Any) -> list[bytes]:
    """As `stem_networking_bench`'s mock server writes it."""
    rows, columns = next(iter(products.values())).shape
    metadata = {
        "schema": "stem.thinned.v1",
        "receiver_id": receiver,
        "interface_name": f"mock_rx_{receiver}",
        "batch_index": batch,
        "first_frame": batch * 128,
        "frames_in_bucket": 128,
        "complete": True,
        "received_packets": 46080,
        "expected_packets": 46080,
        "processing_stage": "corrected",
        "dtype": "float32",
        "byte_order": "little",
        "height": rows,
        "width": columns,
        "representative_frame_index": 0,
        "parts": ["metadata", *products],
    }
    return [f"stem/rx/{receiver}/corrected".encode(), json.dumps(metadata | more).encode(), *(image.astype("<f4").tobytes() for image in products.values())]


def array(image: Image, number: int = 0, **more: Any) -> list[bytes]:
    """As ADZMQ's plug-in and its test server write it."""
    order = "big" if image.dtype.byteorder == ">" else "little"
    header = {"htype": "array-1.0", "type": image.dtype.name, "shape": list(image.shape), "frame": number, "endianness": order, "ndattr": {"NumImages": 1}}
    return [json.dumps(header | more).encode(), image.tobytes()]


def odin(image: Image, number: int = 0, compression: str = "none", **more: Any) -> list[bytes]:
    """As odin-data's `LiveViewPlugin` writes it: sizes are strings there."""
    data = image.tobytes() if compression == "none" else compressed(image, compression.lower())
    header = {
        "frame_num": number,
        "acquisition_id": "run 4",
        "dtype": "float" if image.dtype == np.float32 else image.dtype.name,
        "dsize": len(data),
        "dataset": "data",
        "compression": compression,
        "tags": [],
        "shape": list(map(str, image.shape)),
    }
    return [json.dumps(header | more).encode(), data]


def karabo(sources: Mapping[str, Mapping[str, Any]], train: int = 0, protocol: str = "2.2") -> list[bytes]:
    """What European XFEL's own serializer makes of it."""
    metadata = {name: {"source": name, "timestamp": 1.5e9, "timestamp.tid": train} for name in sources}
    return [bytes(part) for part in serialize({name: dict(one) for name, one in sources.items()}, metadata, protocol)]
