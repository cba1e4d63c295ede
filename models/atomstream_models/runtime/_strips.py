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
from ._onnxruntime import open_network
from ._strip_network import FIRST_ROW, ROWS, strip_network
from ._ways import LoadError

Call = Callable[[Mapping[str, NDArray[np.generic]]], Mapping[str, NDArray[np.float32]]]
"""Runs a network: the inputs by their names in, the outputs by theirs out."""


class PooledStripMembers:
    """Members that go down a frame together, side by side; each scan that is under way has its own run.

    files : member id -> ONNX file
    strip_rows : height of a strip

    Raises
    ------
    NotInStrips
        where a member's network can't be followed row by row.
    """

    def __init__(self, files: Mapping[str, Path], strip_rows: int, threads: int | None) -> None:
        self.strip_rows = strip_rows
        self.members = {member: _StripMember(file, strip_rows) for member, file in files.items()}
        self.pool = ThreadPoolExecutor(min(threads or processors(), len(files)), thread_name_prefix="strip")

    def begin(self, members: Sequence[str], rows: int, columns: int) -> PooledStripRun:
        return PooledStripRun(self, members, rows, columns)

    def close(self) -> None:
        self.members.clear()
        self.pool.shutdown()


class _StripMember:
    """One member's two networks: for a strip, and for the last one."""

    def __init__(self, file: Path, strip_rows: int) -> None:
        self.network = strip_network(file, strip_rows)
        self.call: Call = open_network(self.network.model)
        self.call_last: Call = open_network(self.network.last)


class PooledStripRun:
    """Members on the way down one frame."""

    def __init__(self, strips: PooledStripMembers, members: Sequence[str], rows: int, columns: int) -> None:
        self._pool = strips.pool
        self._members = [_Descent(member, strips.members[member], rows, columns) for member in members]

    def feed(self, strip: NDArray[np.float32]) -> None:
        self._together(lambda one: one.step(strip))

    def finish(self, strip: NDArray[np.float32]) -> Outputs:
        self._together(lambda one: one.last_step(strip))
        return Outputs([one.maps for one in self._members])

    def _together(self, step: Callable[[_Descent], None]) -> None:
        working = [self._pool.submit(step, one) for one in self._members]
        wait(working)
        for one in working:
            one.result()


class _Descent:
    """One member on the way down: what its layers keep, and what it has answered so far."""

    def __init__(self, member: str, strips: _StripMember, rows: int, columns: int) -> None:
        self.maps = np.empty((strips.network.channels, rows, columns), np.float32)
        self._member = member
        self._strips = strips
        self._first_row = 0
        self._kept = {one.name: np.zeros((1, one.channels, one.rows, columns // one.step), np.float32) for one in strips.network.states}

    def step(self, strip: NDArray[np.float32]) -> None:
        found = self._take(self._strips.call, strip)
        self._kept = {name: found[f"{name}_next"] for name in self._kept}

    def last_step(self, strip: NDArray[np.float32]) -> None:
        self._take(self._strips.call_last, np.ascontiguousarray(strip))

    def _take(self, call: Call, strip: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
        rows = self.maps.shape[1]
        numbers = {FIRST_ROW: np.array([self._first_row], np.int64), ROWS: np.array([rows], np.int64)}
        try:
            found = call({"frame": strip, **numbers, **self._kept})
        except Exception as error:  # runtimes raise types of their own that share no documented base
            raise MemberFailed(self._member, str(error)) from error
        answer, top = found["strip_answer"][0], self._first_row - self._strips.network.delay
        begin, end = max(top, 0), min(top + answer.shape[1], rows)
        if end > begin:
            self.maps[:, begin:end] = answer[:, begin - top : end - top]
        self._first_row += strip.shape[2]
        return found


def open_strips(ensemble: LoadedEnsemble, strip_rows: int, threads: int | None) -> PooledStripMembers:
    """A loaded ensemble's members for scans that still run, in float32 on ONNX Runtime: OpenVINO took several times as long for strips.

    Raises
    ------
    LoadError
        where its networks can't be followed row by row, or whole frames are answered in other numbers.
    """
    if ensemble.device != "cpu" or ensemble.way.bits != "float32":
        raise LoadError(f"with {ensemble.way} whole frames are looked at")
    return PooledStripMembers({member: ensemble.bundle.member_path(member) for member in ensemble.card.member_ids}, strip_rows, threads)
