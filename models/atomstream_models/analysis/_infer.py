"""From a prepared frame to the members' maps, their mean and their standard deviation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..bundle import Card
from ..combine import mean_std
from ..each import Each
from ._prepare import Prepared


@dataclass(frozen=True)
class Outputs:
    """What members answer to a tensor (1, 1, H, W).

    maps : one ndarray a member, in the order asked for, shape (channels, H, W)
    mean, std : of these maps, the same shape, where the device that ran the members worked them out; std None with a single member
    """

    maps: list[NDArray[np.float32]]
    mean: NDArray[np.float32] | None = None
    std: NDArray[np.float32] | None = None


_MOST_UNUSED_BYTES = 1 << 25
"""Of a member's answer, that are kept rather than copying the rest."""

RunMembers = Callable[[NDArray[np.float32], Sequence[str]], Outputs]
"""Runs the named members on a tensor (1, 1, H, W)."""


class MemberFailed(RuntimeError):
    """One member's run failed, or its answer is not finite; `member` is its id."""

    def __init__(self, member: str, message: str) -> None:
        super().__init__(f"member {member}: {message}")
        self.member = member


@dataclass(frozen=True)
class Inferred:
    """The members' answers on the network's grid.

    members_used : whose maps these are; empty for a blank frame, which no member has to look at
    maps : one ndarray a member used, shape (classes, rows, columns)
    mean : ndarray, the same shape
    std : ndarray, the same shape, None where fewer than two members were used
    """

    prepared: Prepared
    members_used: tuple[str, ...]
    maps: tuple[NDArray[np.float32], ...]
    mean: NDArray[np.float32]
    std: NDArray[np.float32] | None


def infer(prepared: Prepared, card: Card, members: Sequence[str], run: RunMembers, each: Each = map) -> Inferred:
    """Run `members` on a prepared frame and combine their answers; `each` is how to go through shares of the work.

    Raises
    ------
    ValueError
        when no member is named.
    MemberFailed
        when a member fails or answers with something that is not finite.
    """
    if not members:
        raise ValueError("no member to run")
    rows, columns = prepared.grid.shape
    if prepared.tensor is None:
        return Inferred(prepared, (), (), np.zeros((len(card.classes), rows, columns), np.float32), None)
    channels = _as_slice(card.atom_channels)
    outputs = run(prepared.tensor, members)
    wanted = (card.channels, *prepared.tensor.shape[2:])
    for member, shape in zip(members, [output.shape for output in outputs.maps], strict=True):
        if shape != wanted:
            raise MemberFailed(member, f"it answers {list(shape)}, not {list(wanted)}")

    def cut(output: NDArray[np.float32]) -> NDArray[np.float32]:
        part = output[channels, :rows, :columns]
        # What is not looked at, such as the background of a large frame, is let go, at the price of a copy.
        return part.copy() if output.nbytes - part.nbytes > _MOST_UNUSED_BYTES else np.ascontiguousarray(part)

    whole, mean_of_all, std_of_all = list(outputs.maps), outputs.mean, outputs.std
    del outputs  # which holds on to the maps
    maps = tuple(map(cut, _taken(whole)))
    if mean_of_all is None:
        mean, std = mean_std(maps, each)
    else:
        mean, std = cut(mean_of_all), None if std_of_all is None else cut(std_of_all)
    if not np.isfinite(mean.sum()):
        # One sum over the mean costs less than one over each member; who it was is asked only now.
        raise MemberFailed(next(member for member, one in zip(members, maps, strict=True) if not np.isfinite(one).all()), "its answer is not finite")
    return Inferred(prepared, tuple(members), maps, mean, std)


def _taken(maps: list[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
    """The arrays of a list, which holds on to none of them any more."""
    maps.reverse()
    while maps:
        yield maps.pop()


def _as_slice(channels: Sequence[int]) -> slice | list[int]:
    """Neighbouring channels as a slice, which needs no copy."""
    if channels[-1] - channels[0] + 1 == len(channels):
        return slice(channels[0], channels[-1] + 1)
    return list(channels)
