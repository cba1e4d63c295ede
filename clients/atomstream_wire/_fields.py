"""Typed reading of JSON headers: every refusal names the key and the value."""

import json
import math
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ._errors import WireError

_DEEPEST = 64
"""Lists and objects in one another. Python reads some hundred, and can't always write again what it has read."""

_LONGEST_WHOLE = 18
"""Digits (and sign) of a whole number: what fits everybody's 64 bits."""


def dump_header(header: Mapping[str, Any]) -> bytes:
    """Strict UTF-8 JSON; NaN and infinity are refused."""
    try:
        return json.dumps(header, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise WireError("bad_value", f"header can't be written as JSON: {error}") from error


def load_header(data: Any) -> Dict[str, Any]:
    """The JSON object in one message part."""
    try:
        header = json.loads(bytes(data).decode(), parse_constant=_refuse_constant, parse_float=_finite, parse_int=_whole)
    except (ValueError, RecursionError) as error:
        raise WireError("bad_json", f"header is not UTF-8 JSON: {error}") from error
    if not isinstance(header, dict):
        raise WireError("bad_json", f"header is a JSON {type(header).__name__}, not an object")
    if _is_deeper(header, _DEEPEST):
        raise WireError("bad_json", f"header has lists and objects in one another, more than {_DEEPEST} deep")
    return header


def _is_deeper(value: Any, levels: int) -> bool:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels < 0 or any(_is_deeper(one, levels - 1) for one in inside if isinstance(one, (dict, list)))


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is too large for a number")
    return value


def _whole(text: str) -> int:
    if len(text) > _LONGEST_WHOLE:
        raise ValueError(f"a whole number of {len(text)} digits is too large")
    return int(text)


def check_schema(header: Mapping[str, Any], schema: str) -> None:
    if header.get("schema") != schema:
        raise WireError("unknown_schema", f"schema {header.get('schema')!r} is not {schema!r}")


class Fields:
    """The keys of one header, read with their types. `optional` readers answer None where the key is absent or null."""

    def __init__(self, header: Mapping[str, Any]) -> None:
        self._header = header

    def _required(self, key: str) -> Any:
        value = self._header.get(key)
        if value is None:
            raise WireError("missing_key", f"header has no {key!r}")
        return value

    def text(self, key: str) -> str:
        value = self._required(key)
        if not isinstance(value, str) or not value:
            raise WireError("bad_value", f"{key} = {value!r} is not a non-empty string")
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise WireError("bad_value", f"{key} = {value!r} is not Unicode text") from error
        return value

    def optional_text(self, key: str) -> Optional[str]:
        return None if self._header.get(key) is None else self.text(key)

    def count(self, key: str) -> int:
        value = self._required(key)
        if type(value) is not int or value < 0:
            raise WireError("bad_value", f"{key} = {value!r} is not a whole number from 0")
        return value

    def optional_count(self, key: str) -> Optional[int]:
        return None if self._header.get(key) is None else self.count(key)

    def optional_number(self, key: str) -> Optional[float]:
        value = self._header.get(key)
        if value is None:
            return None
        if not _is_number(value):
            raise WireError("bad_value", f"{key} = {value!r} is not a number")
        return float(value)

    def number(self, key: str) -> float:
        self._required(key)
        return self.optional_number(key) or 0.0

    def flag(self, key: str, default: bool) -> bool:
        value = self._header.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise WireError("bad_value", f"{key} = {value!r} is not true or false")
        return value

    def optional_pair(self, key: str) -> Optional[Tuple[float, float]]:
        value = self._header.get(key)
        if value is None:
            return None
        if not isinstance(value, list) or len(value) != 2 or not all(map(_is_number, value)):
            raise WireError("bad_value", f"{key} = {value!r} is not two numbers")
        return float(value[0]), float(value[1])

    def mapping(self, key: str) -> Dict[str, Any]:
        value = self._header.get(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise WireError("bad_value", f"{key} = {value!r} is not an object")
        return value

    def numbers(self, key: str) -> Dict[str, float]:
        value = self.mapping(key)
        if not all(map(_is_number, value.values())):
            raise WireError("bad_value", f"{key} = {value!r} holds something that is not a number")
        return value

    def objects(self, key: str) -> List[Dict[str, Any]]:
        value = self._required(key)
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise WireError("bad_value", f"{key} is not a list of objects")
        return value

    def texts(self, key: str) -> Tuple[str, ...]:
        value = self._required(key)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise WireError("bad_value", f"{key} = {value!r} is not a list of strings")
        return tuple(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def as_list(pair: Optional[Sequence[float]]) -> Optional[List[float]]:
    return None if pair is None else list(pair)
