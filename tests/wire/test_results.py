from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from atomstream_wire import ATOM_COLUMNS, Atoms, EnsembleState, Event, Failure, FrameReport, Maps, Result, WireError, decode_result, encode_result

_text = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
_number = st.floats(allow_nan=False, allow_infinity=False)
_json = st.dictionaries(_text, st.none() | st.booleans() | st.integers(-(2**40), 2**40) | _text, max_size=3)
_count = st.integers(0, 2**40)
_reports = st.builds(
    FrameReport,
    session=_text,
    seq=_count,
    source=_text,
    channel=_text,
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    ensemble=st.builds(EnsembleState, _text, _text, _text, _count),
    members_used=st.lists(_text, max_size=3).map(tuple),
    members_total=_count,
    classes=st.lists(_text, max_size=3).map(tuple),
    t_recv=_number,
    t_done=_number,
    frame=st.none() | _count,
    pixel_size=st.none() | st.tuples(_number, _number),
    pixel_unit=_text,
    t_end=st.none() | _number,
    flags=st.lists(_text, max_size=3).map(tuple),
    latency_ms=st.dictionaries(_text, _number, max_size=3),
    dropped=st.dictionaries(_text, _count, max_size=3),
    user=_json,
    vendor=_json,
)
_maps = hnp.arrays(np.dtype("<f4"), hnp.array_shapes(min_dims=3, max_dims=3, max_side=5))
_results = st.one_of(
    st.builds(Atoms, _reports, hnp.arrays(np.dtype("<f4"), st.tuples(st.integers(0, 6), st.just(len(ATOM_COLUMNS))))),
    st.builds(Maps, _reports, _maps, st.none() | _maps),
    st.builds(Failure, _text, _text, _text, st.none() | _text, st.none() | _count, _number),
    st.builds(Event, _text, _number, _json),
)


def _plain(result: Result) -> dict[str, Any]:
    return {name: (value.tobytes(), value.shape, value.dtype) if isinstance(value, np.ndarray) else value for name, value in vars(result).items()}


@given(_results)
def test_every_kind_of_result_comes_back_as_it_was_sent(result: Result) -> None:
    parts = [bytes(part) for part in encode_result(result)]
    back = decode_result(parts)

    assert type(back) is type(result)
    assert _plain(back) == _plain(result)
    assert parts[0] == result.topic.encode()


def _report() -> FrameReport:
    return FrameReport("s", 1, "x", "HAADF", (4, 6), EnsembleState("g", "1", "ab", 3), ("m00",), 8, ("C",), 1.0, 2.0)


def test_no_atoms_is_an_array_of_no_rows() -> None:
    back = decode_result(encode_result(Atoms(_report(), np.empty((0, 10), np.float32))))

    assert isinstance(back, Atoms)
    assert back.atoms.shape == (0, 10)


def test_an_unknown_std_stands_in_the_header_and_sends_no_array() -> None:
    parts = encode_result(Maps(_report(), np.ones((1, 4, 6), np.float32), None))
    header = json.loads(parts[1])

    assert "std" in header
    assert header["std"] is None
    assert len(parts) == 3


def test_the_atoms_header_names_its_columns() -> None:
    header = json.loads(encode_result(Atoms(_report(), np.empty((2, 10), np.float32)))[1])

    assert header["arrays"] == [{"name": "atoms", "dtype": "<f4", "shape": [2, 10], "columns": list(ATOM_COLUMNS)}]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"schema": "atomstream.result.v2"}, "unknown_schema"),
        ({"type": "news"}, "bad_value"),
        ({"ensemble": {}}, "missing_key"),
        ({"shape": None}, "missing_key"),
        ({"arrays": []}, "part_count"),
        ({"arrays": [{"name": "mean", "dtype": "<f4", "shape": [2, 10]}]}, "missing_key"),
        ({"latency_ms": {"total": "fast"}}, "bad_value"),
    ],
)
def test_a_result_that_breaks_a_rule_is_refused(changes: dict[str, Any], code: str) -> None:
    parts = encode_result(Atoms(_report(), np.empty((2, 10), np.float32)))
    parts[1] = json.dumps({**json.loads(parts[1]), **changes}).encode()

    with pytest.raises(WireError) as refusal:
        decode_result(parts)

    assert refusal.value.code == code


@given(st.lists(st.binary(max_size=60), max_size=5))
def test_random_bytes_are_refused_and_never_crash(parts: list[bytes]) -> None:
    with pytest.raises(WireError):
        decode_result(parts)
