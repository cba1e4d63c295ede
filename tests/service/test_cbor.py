"""Our reader of CBOR agrees with the cbor2 package, and stays small and quick whatever it is given."""

from __future__ import annotations

import math
import tracemalloc
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atomstream_service.formats._cbor import Tagged, load_cbor
from atomstream_wire import WireError

_leaves = st.none() | st.booleans() | st.integers(-(1 << 64), (1 << 64) - 1) | st.floats(allow_nan=False) | st.text(max_size=30) | st.binary(max_size=30)
_values = st.recursive(
    _leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4) | st.builds(cbor2.CBORTag, st.integers(40, 87), inner),
    max_leaves=12,
)


def _ours(value: Any) -> Any:
    match value:
        case cbor2.CBORTag():
            return Tagged(value.tag, _ours(value.value))
        case list():
            return [_ours(one) for one in value]
        case dict():
            return {key: _ours(one) for key, one in value.items()}
        case _:
            return value


@given(_values, st.booleans())
def test_what_cbor2_writes_is_read_back(value: Any, shortest: bool) -> None:
    assert load_cbor(cbor2.dumps(value, canonical=shortest)) == _ours(value)


def test_items_of_unknown_length_are_read() -> None:
    assert load_cbor(b"\x9f\x01\x9f\xff\xff") == [1, []]
    assert load_cbor(b"\xbf\x61a\x01\xff") == {"a": 1}
    assert bytes(load_cbor(b"\x5f\x41a\x42bc\xff")) == b"abc"
    assert load_cbor(b"\x7f\x61a\x62bc\xff") == "abc"


@given(st.binary(max_size=40))
def test_what_cbor2_refuses_is_refused_and_what_both_read_is_the_same(data: bytes) -> None:
    try:
        found = load_cbor(data)
    except WireError:
        return
    if not _untouched(found):
        return
    expected = cbor2.loads(data)
    assert _ours(expected) == found or "nan" in repr(found)


def _untouched(value: Any) -> bool:
    """Whether cbor2 leaves it as it is: it makes objects of many tags, and of undefined."""
    if isinstance(value, Tagged):
        return False
    if isinstance(value, list):
        return all(map(_untouched, value))
    if isinstance(value, dict):
        return all(map(_untouched, value.values()))
    return value is not None


@pytest.mark.parametrize(
    "data",
    [
        b"\x9b" + b"\xff" * 8,
        b"\xbb" + b"\xff" * 8,
        b"\x5b" + b"\x7f" * 8,
        b"\x7b" + b"\x7f" * 8,
        b"\x81" * 10_000_000,
        b"\xc1" * 10_000_000,
        b"\x9f" * 10_000_000,
        b"\x9f" + b"\x00" * 10_000_000 + b"\xff",
        b"\x5f" + b"\x40" * 10_000_000 + b"\xff",
        b"\x9a\x00\x98\x96\x80" + b"\x00" * 10_000_000,
        b"\xa2\x61a\x01\x61a\x02",
        b"\xa1\x01\x02",
        b"\xff",
        b"\x1c",
        b"\xf8\x20",
        b"\x62\xc3\x28",
        b"\x5f\x61a\xff",
        b"\x5f\x5f\xff\xff",
        b"\x1f",
        b"\xdf\x00",
    ],
    ids=lambda data: data[:6].hex(),
)
def test_what_is_not_well_formed_or_grows_is_refused_without_allocating(data: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(WireError) as refused:
            load_cbor(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert refused.value.code == "bad_cbor"
    assert peak < 8_000_000


def test_byte_strings_are_views_of_the_message_and_tags_are_never_acted_upon() -> None:
    message = bytearray(cbor2.dumps([b"abc", cbor2.CBORTag(28, [cbor2.CBORTag(29, 0)]), cbor2.CBORTag(35, "(a+)+$"), cbor2.CBORTag(4, [10**9, 1])]))

    view, shared, pattern, decimal = load_cbor(message)
    message[message.index(b"abc")] = ord("x")

    assert bytes(view) == b"xbc"
    assert (shared, pattern, decimal) == (Tagged(28, [Tagged(29, 0)]), Tagged(35, "(a+)+$"), Tagged(4, [10**9, 1]))
    assert math.isnan(load_cbor(b"\xf9\x7e\x00"))
