from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from atomstream_wire import DTYPES, FRAME_SCHEMA, Frame, WireError, decode_frame, encode_frame

_text = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
_number = st.floats(allow_nan=False, allow_infinity=False, width=32)
_pair = st.none() | st.tuples(_number, _number)
_json = st.dictionaries(_text, st.none() | st.booleans() | st.integers(-(2**40), 2**40) | _number | _text, max_size=3)
_dtypes = st.tuples(st.sampled_from("<>"), st.sampled_from(DTYPES)).map(lambda pair: np.dtype(pair[0] + pair[1]))
_images = _dtypes.flatmap(lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9)))
_channels = st.dictionaries(_text, _images, min_size=1, max_size=3)
_size = st.none() | st.tuples(*2 * [st.floats(1e-6, 1e6)])


@st.composite
def frames(draw: st.DrawFn) -> Frame:
    channels = draw(_channels)
    height = next(iter(channels.values())).shape[0]
    rows = draw(st.none() | st.tuples(st.integers(0, height), st.integers(0, height)).map(lambda pair: (min(pair), max(pair))))
    return Frame(
        channels=channels,
        session=draw(_text),
        seq=draw(st.integers(0, 2**53)),
        source=draw(_text),
        units={name: "counts" for name in channels if draw(st.booleans())},
        pixel_size=draw(_size),
        pixel_unit=draw(st.sampled_from(["nm", "pm", "Å"])),
        frame=draw(st.none() | st.integers(0, 2**31)),
        series=draw(st.none() | _text),
        complete=draw(st.booleans()),
        valid_rows=rows,
        fov_nm=draw(_size),
        center_nm=draw(_pair),
        scan_rotation_rad=draw(st.none() | _number),
        subscan=draw(st.none() | _json),
        dwell_us=draw(st.none() | _number),
        t_end=draw(st.none() | _number),
        t_send=draw(st.none() | _number),
        beam=draw(_json),
        user=draw(_json),
        vendor=draw(_json),
    )


def _without_arrays(frame: Frame) -> dict[str, Any]:
    return {name: value for name, value in vars(frame).items() if name != "channels"}


@given(frames())
def test_a_frame_comes_back_as_it_was_sent(frame: Frame) -> None:
    back = decode_frame([bytes(part) for part in encode_frame(frame)])

    assert _without_arrays(back) == _without_arrays(frame)
    assert list(back.channels) == list(frame.channels)
    for name, array in frame.channels.items():
        assert back.channels[name].dtype == array.dtype
        assert back.channels[name].shape == array.shape
        assert back.channels[name].tobytes() == array.tobytes()


def _frame(**changes: Any) -> Frame:
    given: dict[str, Any] = {"channels": {"HAADF": np.arange(6, dtype="<u2").reshape(2, 3)}, "session": "s", "seq": 0, "source": "nion/usim"}
    return Frame(**{**given, **changes})


def test_nothing_is_copied_on_the_way_out_or_in() -> None:
    image = np.zeros((4, 6), "<u2")
    parts = encode_frame(_frame(channels={"HAADF": image}))
    back = decode_frame(parts).channels["HAADF"]
    image[2, 3] = 7

    assert back[2, 3] == 7
    assert not back.flags.writeable


def test_a_frame_that_is_not_contiguous_arrives_in_order() -> None:
    image = np.arange(24, dtype=">f4").reshape(4, 6)[::2, ::-1]
    back = decode_frame(encode_frame(_frame(channels={"HAADF": image})))

    np.testing.assert_array_equal(back.channels["HAADF"], image)


def test_unknown_header_keys_arrive_under_vendor() -> None:
    parts = encode_frame(_frame(vendor={"a": 1}))
    header = {**json.loads(parts[1]), "novelty": [1, 2]}
    parts[1] = json.dumps(header).encode()

    assert decode_frame(parts).vendor == {"a": 1, "novelty": [1, 2]}


def test_only_the_required_keys_are_needed() -> None:
    header = {"schema": FRAME_SCHEMA, "session": "s", "seq": 3, "source": "x", "channels": [{"name": "a", "dtype": "|u1", "shape": [1, 2]}]}
    frame = decode_frame([b"x", json.dumps(header).encode(), b"\x01\x02"])

    assert (frame.seq, frame.pixel_size, frame.complete) == (3, None, True)


@pytest.mark.parametrize(
    ("changes", "code", "named"),
    [
        ({"schema": "atomstream.frame.v9"}, "unknown_schema", "atomstream.frame.v9"),
        ({"session": None}, "missing_key", "session"),
        ({"seq": -1}, "bad_value", "-1"),
        ({"seq": True}, "bad_value", "True"),
        ({"seq": 1.5}, "bad_value", "1.5"),
        ({"source": ""}, "bad_value", "source"),
        ({"source": "other"}, "topic_mismatch", "other"),
        ({"channels": []}, "bad_value", "channels"),
        ({"channels": [{"name": "a", "dtype": "<f2", "shape": [2, 3]}]}, "bad_dtype", "<f2"),
        ({"channels": [{"name": "a", "dtype": "O", "shape": [2, 3]}]}, "bad_dtype", "'O'"),
        ({"channels": [{"name": "a", "dtype": "u2", "shape": [2, 3]}]}, "bad_dtype", "u2"),
        ({"channels": [{"name": "a", "dtype": "<u2", "shape": [2, 3, 1]}]}, "bad_shape", "[2, 3, 1]"),
        ({"channels": [{"name": "a", "dtype": "<u2", "shape": [0, 3]}]}, "bad_shape", "[0, 3]"),
        ({"channels": [{"name": "a", "dtype": "<u2", "shape": [2, -3]}]}, "bad_shape", "-3"),
        ({"channels": [{"name": "a", "dtype": "<u2", "shape": [2, 4]}]}, "byte_count", "16"),
        ({"channels": [{"name": "a", "dtype": "<u2", "shape": [1 << 20, 1 << 20]}]}, "too_large", "elements"),
        ({"channels": 2 * [{"name": "a", "dtype": "<u2", "shape": [2, 3]}]}, "bad_value", "twice"),
        ({"pixel_size": [0, 0.1]}, "bad_value", "pixel_size"),
        ({"pixel_size": 0.1}, "bad_value", "pixel_size"),
        ({"valid_rows": [0, 9]}, "bad_value", "valid_rows"),
        ({"complete": "yes"}, "bad_value", "yes"),
        ({"user": []}, "bad_value", "user"),
    ],
)
def test_a_header_that_breaks_a_rule_is_refused_by_name(changes: dict[str, Any], code: str, named: str) -> None:
    parts = encode_frame(_frame())
    parts[1] = json.dumps({**json.loads(parts[1]), **changes}).encode()

    with pytest.raises(WireError) as refusal:
        decode_frame(parts)

    assert refusal.value.code == code
    assert named in str(refusal.value)
    assert refusal.value.header["channels"] is not None


@pytest.mark.parametrize("header", [b"\xff\xfe", b"{", b"[]", b'{"seq": NaN}', b"[" * 100_000, b'{"user": ' + b"[" * 90 + b"]" * 90 + b"}"])
def test_a_header_that_is_not_json_is_refused(header: bytes) -> None:
    with pytest.raises(WireError) as refusal:
        decode_frame([b"x", header, b""])

    assert refusal.value.code == "bad_json"


@pytest.mark.parametrize("keep", [0, 1, 2, 4])
def test_a_wrong_number_of_parts_is_refused(keep: int) -> None:
    parts = (encode_frame(_frame()) * 2)[:keep]

    with pytest.raises(WireError) as refusal:
        decode_frame(parts)

    assert refusal.value.code == "part_count"


def test_a_frame_over_the_pixel_limit_is_refused() -> None:
    with pytest.raises(WireError, match="6 elements, more than the 5 allowed"):
        decode_frame(encode_frame(_frame()), max_pixels=5)


@pytest.mark.parametrize("image", [np.zeros((2, 2), "i8"), np.zeros((2, 2), bool), np.zeros(4, "<u2"), np.zeros((0, 4), "<u2")])
def test_a_bad_array_never_leaves_the_instrument(image: np.ndarray) -> None:
    with pytest.raises(WireError, match="channel 'HAADF'"):
        encode_frame(_frame(channels={"HAADF": image}))


@given(st.lists(st.binary(max_size=60), max_size=5))
def test_random_bytes_are_refused_and_never_crash(parts: list[bytes]) -> None:
    with pytest.raises(WireError):
        decode_frame(parts)


_anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec="utf-8")) | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
_keys = st.sampled_from(
    [*["schema", "session", "seq", "source", "channels", "pixel_size", "valid_rows", "dwell_us", "t_end", "user", "vendor", "series", "novelty"]]
)


@given(st.dictionaries(_keys, _anything, max_size=3), st.sampled_from(["<u2", "<>u2", "<<u2", "|u2", "", "<"]))
def test_a_header_of_any_json_is_a_frame_that_can_be_echoed_or_is_refused(changes: dict[str, Any], dtype: str) -> None:
    parts = encode_frame(_frame())
    header = {**json.loads(parts[1]), "channels": [{"name": "a", "dtype": dtype, "shape": [2, 3]}], **changes}
    parts[1] = json.dumps(header).encode()
    try:
        frame = decode_frame(parts)
    except WireError:
        return

    assert decode_frame(encode_frame(frame)).vendor == frame.vendor


@pytest.mark.parametrize("text", [b'{"seq": 1e999}', b'{"seq": ' + 400 * b"9" + b"}"])
def test_a_number_beyond_64_bits_is_refused(text: bytes) -> None:
    with pytest.raises(WireError, match="too large") as refusal:
        decode_frame([b"x", text, b""])

    assert refusal.value.code == "bad_json"
