"""Which measurements make a curve."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable

from ._cases import BASE_MEMBERS, BASE_SIDE
from ._measure import Measured

Curves = dict[str, list[tuple[int, Measured]]]
"""Way -> points, by a growing value of the axis."""


def along(measured: Iterable[Measured], axis: Callable[[Measured], int], fixed: Callable[[Measured], Hashable]) -> Curves:
    """The longest curves over an axis along which all else is fixed; of equally long ones those nearest to the common centre.

    axis : a measurement's place on it
    fixed : what is the same in all points, apart from the way
    """
    groups: dict[Hashable, list[Measured]] = {}
    for one in measured:
        groups.setdefault(fixed(one), []).append(one)
    if not groups:
        return {}
    best = min(groups.values(), key=lambda group: (-len({axis(one) for one in group}), _from_centre(group[0])))
    return {
        way: sorted(((axis(one), one) for one in best if one.case.way == way), key=lambda point: point[0])
        for way in dict.fromkeys(one.case.way for one in best)
    }


def is_curve(curves: Curves) -> bool:
    """Whether there is anything to see in it."""
    return any(len(points) > 1 for points in curves.values())


def _from_centre(one: Measured) -> tuple[int, int]:
    return abs(one.case.side - BASE_SIDE), abs(one.case.members - BASE_MEMBERS)
