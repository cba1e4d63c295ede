"""Sharing a range between processors."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ..each import Each

_T = TypeVar("_T")


def shares(total: int, most: int) -> list[tuple[int, int]]:
    """Where the equal parts, none longer than `most`, begin and end that make up 0 to `total`."""
    count = max(1, -(-total // most))
    return [(total * k // count, total * (k + 1) // count) for k in range(count)]


def in_parts(work: Callable[[int, int], _T], total: int, most: int, each: Each) -> list[_T]:
    """What `work(first, end)` answers for each of the parts, in order."""
    return list(each(lambda part: work(*part), shares(total, most)))
