"""What of another's values can stand in a JSON header."""

from __future__ import annotations

import math
from typing import Any

_LARGEST_WHOLE = 10**17
_DEEPEST = 16


class NotPlain(ValueError):
    """A value that JSON can't carry, or not to everybody."""


def plain(value: Any, depth: int = 0) -> Any:
    """The value again.

    Raises
    ------
    NotPlain
        for bytes, tags, NaN and infinity, whole numbers that don't fit into 64 bits everywhere, and what lies deeper than 16.
    """
    if depth > _DEEPEST:
        raise NotPlain(f"deeper than {_DEEPEST}")
    match value:
        case None | bool() | str():
            return value
        case int() if abs(value) < _LARGEST_WHOLE:
            return value
        case float() if math.isfinite(value):
            return value
        case dict() if all(isinstance(key, str) for key in value):
            return {key: plain(one, depth + 1) for key, one in value.items()}
        case list():
            return [plain(one, depth + 1) for one in value]
    raise NotPlain(f"a {type(value).__name__}")
