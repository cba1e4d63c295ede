"""Frames of other makers' formats equal their source arrays bit by bit; what does not follow a format is refused."""

from __future__ import annotations

import contextlib
import json
import pickle
import re
import tomllib
from collections.abc import Callable
from typing import Any

import cbor2
import foreign
import numpy as np
import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

from atomstream_models.errors import ExtraMissing
from atomstream_service.config import Config, Format, FramesEndpoint
from atomstream_service.formats import FrameReader, _needs, need_packages, reader_for
from atomstream_wire import Frame, WireError, encode_frame

SHAPE = (24, 40)
WIDENED = {"i1": "i2", "f2": "f4", "u8": "u4", "i8": "i4"}
FORMATS: tuple[Format, ...] = ("dectris-stream-v2", "stem.thinned.v1", "array-1.0", "odin-live-view", "karabo-bridge")


def reader(name: Format, max_pixels: int = 1 << 20, **settings: Any) -> FrameReader:
    return reader_for(FramesEndpoint(format=name, **settings), max_pixels)


def read(name: Format, parts: list[bytes], **settings: Any) -> Frame:
    frame = reader(name, **settings)(parts)
    assert frame is not None
    return frame


def picture(dtype: str, shape: tuple[int, int] = SHAPE, seed: int = 1) -> NDArray[Any]:
    """Counts with all kinds of bits in them; what a frame can hold of 64-bit types."""
    rng = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return (rng.normal(size=shape) * 300).astype(kind)
    limits = np.iinfo(kind if kind.itemsize < 8 else np.dtype(kind.kind + "4"))
    return rng.integers(limits.min, limits.max, shape, endpoint=True, dtype=np.dtype(kind.kind + "8")).astype(kind)


def same(image: NDArray[Any], source: NDArray[Any]) -> None:
    """Bit by bit; types that a frame can't have come in a larger or smaller one that holds the very same values."""
    code = source.dtype.str[1:]
    if code in WIDENED:
        assert image.dtype == np.dtype(WIDENED[code])
        assert image.astype(source.dtype).tobytes() == source.tobytes()
    else:
        assert image.dtype == source.dtype
        assert image.tobytes() == source.tobytes()
    assert image.shape == source.shape


@pytest.mark.parametrize("compression", [None, "lz4", "bslz4"])
@pytest.mark.parametrize("dtype", foreign.TYPED_TAGS)
def test_dectris_images_of_every_type_and_compression_equal_their_source(dtype: str, compression: str | None) -> None:
    image = picture(dtype)

    frame = read("dectris-stream-v2", foreign.dectris_image({"threshold_1": image}, compression=compression))

    same(frame.channels["threshold_1"], image)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("name", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float16", "float32", "float64"])
def test_arrays_of_every_type_and_byte_order_equal_their_source(name: str, order: str) -> None:
    image = picture(np.dtype(order + np.dtype(name).str[1:]).str)

    same(read("array-1.0", foreign.array(image)).channels["image"], image)


@pytest.mark.parametrize("compression", ["none", "LZ4", "BSLZ4"])
@pytest.mark.parametrize("name", ["uint8", "uint16", "uint32", "uint64", "float32"])
def test_odin_images_of_every_type_and_compression_equal_their_source(name: str, compression: str) -> None:
    image = picture(np.dtype(name).str)

    same(read("odin-live-view", foreign.odin(image, compression=compression)).channels["data"], image)


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2", "<u4", ">u4", "i1", "<i2", ">i2", "<i4", ">i4", "<f2", ">f2", "<f4", ">f4", "<f8", ">f8"])
def test_karabo_arrays_of_every_type_and_byte_order_equal_their_source(dtype: str) -> None:
    image = picture(dtype)

    same(read("karabo-bridge", foreign.karabo({"STEM/CAM": {"data.image": image, "gain": 3}})).channels["STEM/CAM data.image"], image)


def test_products_of_a_thinned_stream_equal_their_source() -> None:
    one, other = picture("<f4"), picture("<f4", seed=2)

    frame = read("stem.thinned.v1", foreign.thinned({"representative": one, "sum": other}))

    assert list(frame.channels) == ["representative", "sum"]
    same(frame.channels["representative"], one)
    same(frame.channels["sum"], other)


def test_images_that_are_not_compressed_are_the_messages_own_memory() -> None:
    image = picture("<u2")
    for name, parts in (
        ("dectris-stream-v2", foreign.dectris_image({"a": image})),
        ("array-1.0", foreign.array(image)),
        ("odin-live-view", foreign.odin(image)),
        ("karabo-bridge", foreign.karabo({"A": {"b": image}})),
    ):
        channel = next(iter(read(name, parts).channels.values()))  # type: ignore[arg-type]

        assert np.shares_memory(channel, np.frombuffer(parts[-1], np.uint8))


@given(st.integers(1, 70), st.integers(1, 70), st.sampled_from(["|u1", "<u2", "<u4", "<f4", "<f8"]), st.integers(0, 3), st.integers(0, 99))
def test_any_shape_and_size_of_block_is_decompressed(rows: int, columns: int, dtype: str, blocks: int, seed: int) -> None:
    image = picture(dtype, (rows, columns), seed)
    sizes = {"lz4": [0, 128, 1000, 4096], "bslz4": [0, 128, 256, 1024]}
    for algorithm, size in sizes.items():
        settings = {"nbytes" if algorithm == "lz4" else "nelems": size[blocks]}
        data = foreign.compressed(image, algorithm, **settings)
        content = cbor2.CBORTag(56500, [algorithm, image.itemsize, data])
        tagged = cbor2.CBORTag(40, [list(image.shape), cbor2.CBORTag(foreign.TYPED_TAGS[dtype], content)])

        same(read("dectris-stream-v2", foreign.dectris_image({"a": image}, data={"a": tagged})).channels["a"], image)


def test_a_64_bit_count_that_a_frame_can_not_hold_is_refused() -> None:
    image = picture("<u8")
    image[3, 4] = 1 << 40

    with pytest.raises(WireError, match=f"{1 << 40} do not fit into <u4") as refused:
        read("array-1.0", foreign.array(image))
    assert refused.value.code == "bad_dtype"


def test_rows_come_first_unless_the_socket_says_otherwise() -> None:
    image = picture("<u2")
    for name, make in (("array-1.0", foreign.array), ("odin-live-view", foreign.odin)):
        turned = make(image, shape=[SHAPE[1], SHAPE[0]])

        assert next(iter(read(name, turned).channels.values())).shape == SHAPE[::-1]  # type: ignore[arg-type]
        assert next(iter(read(name, turned, shape_order="xy").channels.values())).shape == SHAPE  # type: ignore[arg-type]


def test_each_threshold_is_a_channel_in_the_order_of_the_start_message() -> None:
    low, high = picture("<u2"), picture("<u2", seed=2)
    reads = reader("dectris-stream-v2")

    assert reads(foreign.dectris_start({"threshold_2": high, "threshold_1": low})) is None
    frame = reads(foreign.dectris_image({"threshold_1": low, "threshold_2": high}))

    assert frame is not None
    assert list(frame.channels) == ["threshold_2", "threshold_1"]
    same(frame.channels["threshold_2"], high)


def test_what_the_start_says_is_told_with_the_images_of_its_series_and_who_came_late_hears_what_is_missing() -> None:
    images = {"threshold_1": picture("<u2")}
    reads = reader("dectris-stream-v2")
    reads(foreign.dectris_start(images, user_data={"sample": "graphene"}))

    known = reads(foreign.dectris_image(images, number=3))
    late = reads(foreign.dectris_image(images, number=5, series=8))

    assert known is not None
    assert (known.frame, known.series, known.beam, known.user) == (3, "unique-7", {"energy_eV": 1e5}, {"sample": "graphene"})
    assert known.vendor["dectris"]["threshold_energy"] == {"threshold_1": 3e4}
    assert "missing" not in known.vendor["dectris"]
    assert known.t_end == pytest.approx(1795680000.5 + 2.25)
    assert late is not None
    assert (late.frame, late.series, late.beam, late.user) == (5, "unique-8", {}, {})
    assert "beam energy" in late.vendor["dectris"]["missing"]


def test_the_detectors_pixel_size_is_never_a_scans() -> None:
    images = {"a": picture("<u2")}
    reads, told = reader("dectris-stream-v2"), reader("dectris-stream-v2", pixel_size_nm=0.0104, source="ela")
    for one in (reads, told):
        one(foreign.dectris_start(images))

    unknown, set_here = reads(foreign.dectris_image(images)), told(foreign.dectris_image(images))
    by_user = told(foreign.dectris_image(images, number=1, user_data={"pixel_size_nm": 0.02, "scan_rotation_rad": 0.1}))

    assert unknown is not None
    assert set_here is not None
    assert by_user is not None
    assert (unknown.pixel_size, unknown.source) == (None, "dectris")
    assert (set_here.pixel_size, set_here.pixel_unit, set_here.source) == ((0.0104, 0.0104), "nm", "ela")
    assert (by_user.pixel_size, by_user.scan_rotation_rad) == ((0.02, 0.02), 0.1)


def test_user_data_that_json_can_not_carry_are_left_out_and_the_image_is_not() -> None:
    images = {"a": picture("<u2")}

    for user in (b"\x80", {"n": 1 << 63}, {"x": float("nan")}, cbor2.CBORTag(37, b"x" * 16)):
        assert read("dectris-stream-v2", foreign.dectris_image(images, user_data=user)).user == {}
    assert read("dectris-stream-v2", foreign.dectris_image(images, user_data=[1, "a"])).user == {"user_data": [1, "a"]}


def test_what_the_other_formats_say_arrives_under_vendor() -> None:
    image = picture("<f4")

    product = read("stem.thinned.v1", foreign.thinned({"sum": image}, batch=4, complete=False))
    arrived = read("array-1.0", foreign.array(image, 9, source="PCO"))
    seen = read("odin-live-view", foreign.odin(image, 11))
    train = read("karabo-bridge", foreign.karabo({"A/B": {"c": image}}, train=13))

    assert (product.source, product.frame, product.complete, product.vendor["stem"]["complete"]) == ("stem/rx/0/corrected", 4, True, False)
    assert (arrived.source, arrived.frame, arrived.vendor) == ("PCO", 9, {"array": {"ndattr": {"NumImages": 1}}})
    assert (seen.source, seen.frame, seen.series, seen.vendor) == ("odin/data", 11, "run 4", {"odin": {"dataset": "data", "tags": []}})
    assert (train.source, train.frame, train.t_end, train.vendor["karabo"]["source"]) == ("karabo", 13, 1.5e9, "A/B")


def _numbers(reads: FrameReader, messages: list[list[bytes]]) -> list[tuple[str, int]]:
    frames = [reads(one) for one in messages]
    return [(frame.session, frame.seq) for frame in frames if frame is not None]


@pytest.mark.parametrize(
    "make",
    [
        lambda number: foreign.dectris_image({"a": picture("<u2")}, number),
        lambda number: foreign.array(picture("<u2"), number),
        lambda number: foreign.odin(picture("<u2"), number),
        lambda number: foreign.karabo({"A": {"b": picture("<u2")}}, number),
        lambda number: foreign.thinned({"sum": picture("<f4")}, number),
    ],
    ids=["dectris-stream-v2", "array-1.0", "odin-live-view", "karabo-bridge", "stem.thinned.v1"],
)
def test_a_jump_in_the_instruments_numbers_is_a_jump_in_seq_and_a_restart_is_a_new_session(
    make: Callable[[int], list[bytes]], request: pytest.FixtureRequest
) -> None:
    name = request.node.callspec.id
    messages = [make(number) for number in (5, 6, 9, 0, 1)]

    (first, *run), counted = _numbers(reader(name, thinned=False), messages), _numbers(reader(name, thinned=True), messages)

    assert [seq for _, seq in (first, *run)] == [5, 6, 9, 0, 1]
    assert [session == first[0] for session, _ in run] == [True, True, False, False]
    assert run[2][0] == run[3][0]
    assert [seq for _, seq in counted] == [0, 1, 2, 0, 1]


def test_jumps_in_a_thinned_stream_are_no_losses_and_receivers_and_datasets_have_numbers_of_their_own() -> None:
    product, image = {"sum": picture("<f4")}, picture("<u2")

    mixed = _numbers(reader("stem.thinned.v1"), [foreign.thinned(product, batch, batch % 2) for batch in (0, 1, 4, 7)])
    twice = _numbers(reader("odin-live-view"), [foreign.odin(image, number, dataset=name) for number in (3, 4) for name in ("a", "b")])

    assert [seq for _, seq in mixed] == [0, 0, 1, 1]
    assert len({session for session, _ in mixed}) == 2
    assert [seq for _, seq in twice] == [3, 3, 4, 4]
    assert len({session for session, _ in twice}) == 2


def test_a_new_series_is_a_new_session_and_arrays_without_a_number_are_counted() -> None:
    image = picture("<u2")
    bare = [json.dumps({"htype": "array-1.0", "type": "uint16", "shape": list(SHAPE)}).encode(), image.tobytes()]

    series = _numbers(reader("dectris-stream-v2"), [foreign.dectris_image({"a": image}, 4, one) for one in (1, 2)])
    counted = _numbers(reader("array-1.0"), [bare, bare, bare])

    assert len({session for session, _ in series}) == 2
    assert [seq for _, seq in counted] == [0, 1, 2]
    assert len({session for session, _ in counted}) == 1


def test_karabo_arrays_that_are_no_images_are_left_out() -> None:
    image = picture("<u2")
    sources = {
        "A": {"spectrum": np.arange(5.0), "mask": np.zeros((3, 4), bool), "ids": np.zeros((2, 2), "u8")},
        "B": {"data": image, "stack": np.zeros((2, 3, 4))},
    }

    assert list(read("karabo-bridge", foreign.karabo(sources)).channels) == ["B data"]


IMAGE = picture("<u2")
_ONE = {"a": IMAGE}
_DATA = foreign.compressed(IMAGE, "bslz4")


def _typed(content: Any, tag: int = 69, shape: Any = SHAPE, outer: int = 40) -> dict[str, Any]:
    return {"data": {"a": cbor2.CBORTag(outer, [list(shape), cbor2.CBORTag(tag, content)])}}


def _packed(data: bytes, algorithm: Any = "bslz4", size: Any = 2) -> dict[str, Any]:
    return _typed(cbor2.CBORTag(56500, [algorithm, size, data]))


def _header(parts: list[bytes], **changes: Any) -> list[bytes]:
    return [json.dumps({**json.loads(parts[0]), **changes}).encode(), *parts[1:]]


_ARRAY, _ODIN, _THIN = foreign.array(IMAGE), foreign.odin(IMAGE), foreign.thinned({"sum": IMAGE})
_KARABO = foreign.karabo({"A": {"b": IMAGE}})
_HUGE = [1 << 40, 1 << 20]
_PICKLE = pickle.dumps(IMAGE)

BAD: dict[str, tuple[Format, list[bytes], str]] = {
    "dectris: nothing": ("dectris-stream-v2", [b""], "bad_cbor"),
    "dectris: a pickle": ("dectris-stream-v2", [_PICKLE], "bad_cbor"),
    "dectris: two parts": ("dectris-stream-v2", foreign.dectris_image(_ONE) * 2, "part_count"),
    "dectris: cut off": ("dectris-stream-v2", [foreign.dectris_image(_ONE)[0][:-100]], "bad_cbor"),
    "dectris: something behind": ("dectris-stream-v2", [foreign.dectris_image(_ONE)[0] + b"\x00"], "bad_cbor"),
    "dectris: a list": ("dectris-stream-v2", [cbor2.dumps([1, 2])], "bad_cbor"),
    "dectris: unknown type": ("dectris-stream-v2", foreign.dectris_image(_ONE, type="picture"), "unknown_schema"),
    "dectris: no type": ("dectris-stream-v2", [cbor2.dumps({"a": 1})], "missing_key"),
    "dectris: no data": ("dectris-stream-v2", foreign.dectris_image(_ONE, data={}), "missing_key"),
    "dectris: many channels": ("dectris-stream-v2", foreign.dectris_image({str(k): IMAGE for k in range(17)}), "too_large"),
    "dectris: negative number": ("dectris-stream-v2", foreign.dectris_image(_ONE, image_id=-1), "bad_value"),
    "dectris: number of 20 digits": ("dectris-stream-v2", foreign.dectris_image(_ONE, image_id=(1 << 64) - 1), "bad_json"),
    "dectris: date without zone": ("dectris-stream-v2", foreign.dectris_image(_ONE, series_date="2026-01-01"), "bad_value"),
    "dectris: time over nothing": ("dectris-stream-v2", foreign.dectris_image(_ONE, stop_time=[1, 0]), "bad_value"),
    "dectris: bad start": ("dectris-stream-v2", foreign.dectris_start(_ONE, incident_energy="high"), "bad_value"),
    "dectris: wrong length": ("dectris-stream-v2", foreign.dectris_image(_ONE, **_typed(IMAGE.tobytes()[:-1])), "byte_count"),
    "dectris: wrong array tag": ("dectris-stream-v2", foreign.dectris_image(_ONE, **_typed(IMAGE.tobytes(), outer=1040)), "bad_dtype"),
    "dectris: wrong type tag": ("dectris-stream-v2", foreign.dectris_image(_ONE, **_typed(IMAGE.tobytes(), tag=76)), "bad_dtype"),
    "dectris: not an array": ("dectris-stream-v2", foreign.dectris_image(_ONE, data={"a": 4}), "bad_dtype"),
    "dectris: three sides": ("dectris-stream-v2", foreign.dectris_image(_ONE, **_typed(IMAGE.tobytes(), shape=(1, *SHAPE))), "bad_shape"),
    "dectris: huge": ("dectris-stream-v2", foreign.dectris_image(_ONE, **_typed(b"", shape=_HUGE)), "too_large"),
    "dectris: huge, compressed": (
        "dectris-stream-v2",
        foreign.dectris_image(_ONE, **_typed(cbor2.CBORTag(56500, ["lz4", 0, _DATA]), shape=_HUGE)),
        "too_large",
    ),
    "dectris: text for bytes": ("dectris-stream-v2", foreign.dectris_image(_ONE, **_typed("abc")), "bad_cbor"),
    "dectris: unknown compression": ("dectris-stream-v2", foreign.dectris_image(_ONE, **_packed(_DATA, "zip")), "bad_value"),
    "dectris: cut compressed": ("dectris-stream-v2", foreign.dectris_image(_ONE, **_packed(_DATA[:-3])), "byte_count"),
    "dectris: no framing": ("dectris-stream-v2", foreign.dectris_image(_ONE, **_packed(_DATA[:9])), "byte_count"),
    "dectris: longer compressed": ("dectris-stream-v2", foreign.dectris_image(_ONE, **_packed(_DATA + b"1")), "byte_count"),
    "dectris: promises more": ("dectris-stream-v2", foreign.dectris_image(_ONE, **_packed(b"\x00\x00\x7f" + _DATA[3:])), "byte_count"),
    "dectris: blocks of nothing": ("dectris-stream-v2", foreign.dectris_image(_ONE, **_packed(_DATA[:8] + bytes(4) + _DATA[12:])), "bad_value"),
    "dectris: vast blocks": ("dectris-stream-v2", foreign.dectris_image(_ONE, **_packed(_DATA[:8] + b"\x80\x00\x00\x00" + _DATA[12:])), "bad_value"),
    "dectris: odd blocks": ("dectris-stream-v2", foreign.dectris_image(_ONE, **_packed(_DATA[:8] + b"\x00\x00\x04\x01" + _DATA[12:])), "bad_value"),
    "dectris: element of 3": ("dectris-stream-v2", foreign.dectris_image(_ONE, **_packed(_DATA, size=3)), "bad_value"),
    "dectris: damaged block": ("dectris-stream-v2", foreign.dectris_image(_ONE, **_packed(_DATA[:16] + b"\xff" * (len(_DATA) - 16))), "bad_value"),
    "thinned: two parts": ("stem.thinned.v1", _THIN[:2], "part_count"),
    "thinned: other schema": ("stem.thinned.v1", foreign.thinned({"sum": IMAGE}, schema="stem.thinned.v2"), "unknown_schema"),
    "thinned: a pickle": ("stem.thinned.v1", [_THIN[0], _PICKLE, _THIN[2]], "bad_json"),
    "thinned: another type": ("stem.thinned.v1", foreign.thinned({"sum": IMAGE}, dtype="float64"), "bad_dtype"),
    "thinned: big-endian": ("stem.thinned.v1", foreign.thinned({"sum": IMAGE}, byte_order="big"), "bad_dtype"),
    "thinned: other length": ("stem.thinned.v1", [*_THIN[:2], _THIN[2][:-4]], "byte_count"),
    "thinned: other parts": ("stem.thinned.v1", foreign.thinned({"sum": IMAGE}, parts=["metadata", "sum", "mean"]), "part_count"),
    "thinned: twice the same": ("stem.thinned.v1", [*foreign.thinned({"sum": IMAGE}, parts=["metadata", "sum", "sum"]), _THIN[2]], "part_count"),
    "thinned: huge": ("stem.thinned.v1", foreign.thinned({"sum": IMAGE}, height=1 << 20, width=1 << 20), "too_large"),
    "thinned: no rows": ("stem.thinned.v1", foreign.thinned({"sum": IMAGE}, height=0), "bad_shape"),
    "thinned: topic in no code": ("stem.thinned.v1", [b"\xff", *_THIN[1:]], "bad_value"),
    "array: header alone": ("array-1.0", _ARRAY[:1], "part_count"),
    "array: a pickle": ("array-1.0", [_PICKLE, _ARRAY[1]], "bad_json"),
    "array: other htype": ("array-1.0", _header(_ARRAY, htype=["chunk-1.0"]), "unknown_schema"),
    "array: unknown type": ("array-1.0", _header(_ARRAY, type="object"), "bad_dtype"),
    "array: unknown byte order": ("array-1.0", _header(_ARRAY, endianness="middle"), "bad_dtype"),
    "array: compressed": ("array-1.0", _header(_ARRAY, encoding="jpeg"), "bad_value"),
    "array: other length": ("array-1.0", [_ARRAY[0], _ARRAY[1][1:]], "byte_count"),
    "array: colours": ("array-1.0", _header(_ARRAY, shape=[3, 8, 40]), "bad_shape"),
    "array: shape of text": ("array-1.0", _header(_ARRAY, shape="24x40"), "bad_shape"),
    "array: deep": ("array-1.0", [_ARRAY[0].replace(b'{"NumImages": 1}', b"[" * 200 + b"]" * 200), _ARRAY[1]], "bad_json"),
    "odin: long header": ("odin-live-view", [b"[" * (1 << 21), _ODIN[1]], "too_large"),
    "array: long header": ("array-1.0", _header(_ARRAY, ndattr="x" * (1 << 20)), "too_large"),
    "array: huge": ("array-1.0", _header(_ARRAY, shape=_HUGE), "too_large"),
    "odin: three parts": ("odin-live-view", [*_ODIN, b""], "part_count"),
    "odin: no number": ("odin-live-view", _header(_ODIN, frame_num=None), "missing_key"),
    "odin: unknown type": ("odin-live-view", _header(_ODIN, dtype="unknown"), "bad_dtype"),
    "odin: unknown compression": ("odin-live-view", _header(_ODIN, compression="blosc"), "bad_value"),
    "odin: not compressed at all": ("odin-live-view", _header(_ODIN, compression="LZ4"), "byte_count"),
    "odin: other length": ("odin-live-view", [_ODIN[0], _ODIN[1][:-2]], "byte_count"),
    "odin: shape in words": ("odin-live-view", _header(_ODIN, shape=["many", "4"]), "bad_shape"),
    "odin: dataset in no code": ("odin-live-view", _header(_ODIN, dataset="\ud800"), "bad_value"),
    "odin: huge": ("odin-live-view", _header(_ODIN, shape=["999999999", "999999999"]), "too_large"),
    "karabo: protocol 1.0": ("karabo-bridge", foreign.karabo({"A": {"b": IMAGE}}, protocol="1.0"), "part_count"),
    "karabo: half a pair": ("karabo-bridge", _KARABO[:3], "part_count"),
    "karabo: a pickle": ("karabo-bridge", [_PICKLE, b""], "bad_msgpack"),
    "karabo: a number": ("karabo-bridge", [b"\x01", b""], "bad_msgpack"),
    "karabo: announces more": ("karabo-bridge", [b"\xdd\xff\xff\xff\xff" * 900, b""], "bad_msgpack"),
    "karabo: large header": ("karabo-bridge", [b"\x00" * 70_000, b""], "too_large"),
    "karabo: no image": ("karabo-bridge", foreign.karabo({"A": {"b": np.zeros(4)}}), "bad_shape"),
    "karabo: other length": ("karabo-bridge", [*_KARABO[:-1], _KARABO[-1][:-1]], "byte_count"),
    "karabo: huge": ("karabo-bridge", [_KARABO[2].replace(b"\x92\x18\x28", b"\x92\xcd\xff\xff\xcd\xff\xff"), b""], "too_large"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_message_that_does_not_follow_its_format_is_refused_by_name(case: str) -> None:
    name, parts, code = BAD[case]

    with pytest.raises(WireError) as refused:
        reader(name, source="stem")(parts)
    assert refused.value.code == code, str(refused.value)
    assert refused.value.header["source"] == "stem"
    assert len(str(refused.value)) < 1000
    with pytest.raises(WireError):
        reader(name)(parts)


_STRANGE = ["\ud800", "", "x" * 5000, [], {}, None, True, -1, 10**17, 1e308, [1, 2], [1e308, 1e308], {"\ud800": "\ud800"}, [["a"], {}]]


@pytest.mark.parametrize(
    ("name", "parts", "at"),
    [
        ("atomstream.frame.v1", [bytes(part) for part in encode_frame(Frame({"a": IMAGE}, "s", 0, "x", pixel_size=(1, 1)))], 1),
        ("stem.thinned.v1", _THIN, 1),
        ("array-1.0", foreign.array(IMAGE, source="PCO", encoding=None), 0),
        ("odin-live-view", _ODIN, 0),
        ("odin-live-view", foreign.odin(IMAGE, compression="BSLZ4"), 0),
    ],
)
def test_whatever_a_key_of_a_header_holds_the_message_is_a_frame_or_is_refused(name: Format, parts: list[bytes], at: int) -> None:
    header = json.loads(parts[at])
    for key in header:
        for value in _STRANGE:
            changed = json.dumps({**header, key: value}).encode()
            with contextlib.suppress(WireError):
                reader(name)([*parts[:at], changed, *parts[at + 1 :]])


def test_a_refused_image_counts_as_come_where_its_number_could_be_read() -> None:
    reads = reader("array-1.0")

    with pytest.raises(WireError) as refused:
        reads([foreign.array(IMAGE, 4)[0], b""])
    after = reads(foreign.array(IMAGE, 5))

    assert after is not None
    assert (refused.value.header["session"], refused.value.header["seq"]) == (after.session, 4)


_GOOD: dict[Format, list[bytes]] = {
    "dectris-stream-v2": foreign.dectris_image({"a": IMAGE}, compression="bslz4"),
    "stem.thinned.v1": _THIN,
    "array-1.0": _ARRAY,
    "odin-live-view": foreign.odin(IMAGE, compression="LZ4"),
    "karabo-bridge": _KARABO,
}


@given(st.sampled_from(FORMATS), st.data())
def test_whatever_comes_is_a_frame_or_is_refused(name: Format, data: st.DataObject) -> None:
    parts = [bytearray(part) for part in _GOOD[name]]
    for _ in range(data.draw(st.integers(1, 4))):
        part = parts[data.draw(st.integers(0, len(parts) - 1))]
        at = data.draw(st.integers(0, min(len(part), 300)))
        part[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))

    try:
        frame = reader(name, max_pixels=5000)([bytes(part) for part in parts])
    except WireError:
        return
    assert frame is None or all(image.size <= 5000 for image in frame.channels.values())


@given(st.sampled_from(FORMATS), st.lists(st.binary(max_size=64), max_size=4))
def test_bytes_of_any_kind_are_refused(name: Format, parts: list[bytes]) -> None:
    with pytest.raises(WireError):
        reader(name)(parts)


def test_settings_that_a_format_does_not_have_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"pixel_size_nm: frames of format atomstream\.frame\.v1 say that themselves"):
        FramesEndpoint(pixel_size_nm=0.01)
    with pytest.raises(ValidationError, match="leaves no doubt about its shapes"):
        FramesEndpoint(format="dectris-stream-v2", shape_order="xy")


def test_only_a_karabo_bridge_is_asked_for_frames_and_never_where_keys_are_asked_for() -> None:
    asked = {"socket": "req", "attach": "connect", "format": "karabo-bridge"}

    assert Config.model_validate({"curve": True, "frames": [asked | {"curve": False}]}).frames[0].socket == "req"
    for wrong in ({"format": "array-1.0"}, {"attach": "bind"}, {"curve": True}):
        with pytest.raises(ValidationError, match="socket 'req' is for format 'karabo-bridge'"):
            FramesEndpoint.model_validate(asked | wrong)
    with pytest.raises(ValidationError, match="socket 'req' can't ask for keys; say curve = false there"):
        Config.model_validate({"curve": True, "frames": [asked]})


def test_a_format_whose_package_is_missing_names_the_extra_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_needs, "find_spec", lambda package: None)

    need_packages([FramesEndpoint(), FramesEndpoint(format="array-1.0"), FramesEndpoint(format="stem.thinned.v1")])
    for name, package in (("dectris-stream-v2", "lz4"), ("odin-live-view", "lz4"), ("karabo-bridge", "msgpack")):
        with pytest.raises(ExtraMissing, match=rf"{package} \(for frames of format {name}\).*atomstream\[streams\]"):
            reader(name)  # type: ignore[arg-type]


def test_the_settings_in_the_documentation_are_possible_and_name_every_format() -> None:
    blocks = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "streams.md").read_text(encoding="utf-8"), re.DOTALL)

    found = [one for block in blocks for one in Config.model_validate(tomllib.loads(block)).frames]

    assert {one.format for one in found} == set(FORMATS)
