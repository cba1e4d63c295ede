"""Members on several devices."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from ..analysis import Outputs
from ._ways import Members


class ShardedMembers:
    """Parts of an ensemble that run side by side, each on a device of its own; mean and std are merged from theirs.

    parts : member ids -> who runs them
    """

    def __init__(self, parts: Sequence[tuple[Sequence[str], Members]]) -> None:
        self._parts = [part for _, part in parts]
        self._part_of = {member: k for k, (members, _) in enumerate(parts) for member in members}
        self.providers = self._parts[0].providers
        self.at_once = sum(part.at_once for part in self._parts)
        self.last_ms: dict[str, float] = {}
        self._pool = ThreadPoolExecutor(len(parts), thread_name_prefix="device")

    def run(self, tensor: NDArray[np.float32], members: Sequence[str]) -> Outputs:
        asked = [[member for member in members if self._part_of[member] == k] for k in range(len(self._parts))]
        busy = [(part, of_part) for part, of_part in zip(self._parts, asked, strict=True) if of_part]
        answers = list(self._pool.map(lambda one: one[0].run(tensor, one[1]), busy))
        maps = {member: one for (_, of_part), answer in zip(busy, answers, strict=True) for member, one in zip(of_part, answer.maps, strict=True)}
        for part, of_part in busy:
            self.last_ms.update({member: part.last_ms[member] for member in of_part})
        ordered = [maps[member] for member in members]
        if any(answer.mean is None for answer in answers):
            return Outputs(ordered)
        return Outputs(ordered, *merged([(len(of_part), answer) for (_, of_part), answer in zip(busy, answers, strict=True)]))

    def frames_at_once(self, members: int) -> int:
        return 1

    def forget(self, shape: tuple[int, int]) -> None:
        for part in self._parts:
            part.forget(shape)

    def close(self) -> None:
        for part in self._parts:
            part.close()
        self._pool.shutdown()


def merged(parts: Sequence[tuple[int, Outputs]]) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Mean and std over all members, from how many each part has and theirs (Chan, Golub, LeVeque 1983, doi:10.1080/00031305.1983.10483115)."""
    count, first = parts[0]
    assert first.mean is not None
    mean = first.mean
    squares = None if first.std is None else count * first.std**2
    for more, part in parts[1:]:
        assert part.mean is not None
        apart = part.mean - mean
        added = apart**2 * np.float32(count * more / (count + more))
        if part.std is not None:
            added += more * part.std**2
        squares = added if squares is None else squares + added
        mean = mean + apart * np.float32(more / (count + more))
        count += more
    return mean, None if squares is None else np.sqrt(squares / np.float32(count))
