"""Members that look at a frame in strips of rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..analysis import MemberFailed, Outputs
from ._device import processors
from ._ensemble import LoadedEnsemble
from ._strip_network import FIRST_ROW, ROWS, StripNetwork, strip_network
from ._ways import LoadError

Call = Callable[[Mapping[str, NDArray[np.generic]]], Mapping[str, NDArray[np.float32]]]
"""Runs a network: the inputs by their names in, the outputs by theirs out."""


class PooledStripMembers:
    """Members that go down a frame together, side by side; each scan that is under way has its own run.

    files : member id -> ONNX file
    open_network : a session from a model
    strip_rows : height of a strip

    Raises
    ------
    NotInStrips
        where a member's network can't be followed row by row.
    """

    def __init__(self, files: Mapping[str, Path], open_network: Callable[[bytes], Call], strip_rows: int, threads: int | None) -> None:
        self.strip_rows = strip_rows
        self.networks = {member: strip_network(file, strip_rows) for member, file in files.items()}
        self.calls = {member: open_network(network.model) for member, network in self.networks.items()}
        self.pool = ThreadPoolExecutor(min(threads or processors(), len(files)), thread_name_prefix="strip")

    def begin(self, members: Sequence[str], rows: int, columns: int) -> PooledStripRun:
        return PooledStripRun(self, members, rows, columns)

    def close(self) -> None:
        self.calls.clear()
        self.pool.shutdown()


class PooledStripRun:
    """Members on the way down one frame."""

    def __init__(self, strips: PooledStripMembers, members: Sequence[str], rows: int, columns: int) -> None:
        self._pool = strips.pool
        self._strip_rows = strips.strip_rows
        self._rows = rows
        self._fed = 0
        self._members = [_Member(member, strips.networks[member], strips.calls[member], rows, columns) for member in members]
        self._columns = columns

    def feed(self, strip: NDArray[np.float32]) -> None:
        self._together(strip, 1)

    def finish(self) -> Outputs:
        """Layers are late by the rows that they wait for; strips that mean nothing bring the last ones through."""
        late = max(one.network.delay for one in self._members)
        strips = -(-(self._rows + late - self._fed) // self._strip_rows)
        self._together(np.zeros((1, 1, self._strip_rows, self._columns), np.float32), strips)
        return Outputs([one.maps for one in self._members])

    def _together(self, strip: NDArray[np.float32], times: int) -> None:
        first = range(self._fed, self._fed + times * self._strip_rows, self._strip_rows)
        working = [self._pool.submit(_go_down, one, strip, first) for one in self._members]
        wait(working)
        for one in working:
            one.result()
        self._fed += times * self._strip_rows


class _Member:
    """One member on the way down: what its layers keep, and what it has answered so far."""

    def __init__(self, member: str, network: StripNetwork, call: Call, rows: int, columns: int) -> None:
        self.network = network
        self.maps = np.empty((network.channels, rows, columns), np.float32)
        self._member = member
        self._call = call
        self._kept = {one.name: np.zeros((1, one.channels, one.rows, columns // one.step), np.float32) for one in network.states}

    def step(self, strip: NDArray[np.float32], first_row: int) -> None:
        rows = self.maps.shape[1]
        if first_row - self.network.delay >= rows:
            return
        numbers = {FIRST_ROW: np.array([first_row], np.int64), ROWS: np.array([rows], np.int64)}
        try:
            found = self._call({"frame": strip, **numbers, **self._kept})
        except Exception as error:  # runtimes raise types of their own that share no documented base
            raise MemberFailed(self._member, str(error)) from error
        self._kept = {name: found[f"{name}_next"] for name in self._kept}
        answer, top = found["strip_answer"][0], first_row - self.network.delay
        begin, end = max(top, 0), min(top + answer.shape[1], rows)
        if end > begin:
            self.maps[:, begin:end] = answer[:, begin - top : end - top]


def _go_down(member: _Member, strip: NDArray[np.float32], first_rows: range) -> None:
    for row in first_rows:
        member.step(strip, row)


def open_strips(ensemble: LoadedEnsemble, strip_rows: int, threads: int | None) -> PooledStripMembers:
    """A loaded ensemble's members for scans that still run, in the same way as it runs them.

    Raises
    ------
    LoadError
        where its networks can't be followed row by row, or not in this way.
    """
    if ensemble.way.network is None:
        raise LoadError(f"{ensemble.way} takes whole frames only")
    files = {member: ensemble.bundle.member_path(member) for member in ensemble.card.member_ids}
    return PooledStripMembers(files, ensemble.way.network, strip_rows, threads)
