"""Members as one-thread sessions that share a pool of threads: how the CPU runs them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..analysis import MemberFailed, Outputs
from ._device import processors
from ._ways import LoadError, Session


class PooledMembers:
    """Members that run side by side, which measured up to twice as fast as sessions with several threads each."""

    def __init__(self, sessions: Mapping[str, Session], threads: int | None) -> None:
        """threads : members run at once; all processors by default."""
        found = {session.providers for session in sessions.values()}
        if len(found) > 1:
            raise LoadError(f"the members would run on different devices: {' and '.join(sorted(map(str, found)))}")
        (self.providers,) = found
        self.at_once = min(threads or processors(), len(sessions))
        self._threads = threads or processors()
        self._shared = all(session.shared for session in sessions.values())
        self.last_ms: dict[str, float] = {}
        self._sessions = dict(sessions)
        self._pool = ThreadPoolExecutor(self.at_once, thread_name_prefix="member") if self.at_once > 1 else None

    def run(self, tensor: NDArray[np.float32], members: Sequence[str]) -> Outputs:
        def one(member: str) -> NDArray[np.float32]:
            start = time.perf_counter()
            try:
                output: NDArray[np.float32] = self._sessions[member].run(tensor)[0]
            except Exception as error:  # runtimes raise types of their own that share no documented base
                raise MemberFailed(member, str(error)) from error
            self.last_ms[member] = 1000 * (time.perf_counter() - start)
            return output

        if self._pool is None or len(members) == 1:
            return Outputs([one(member) for member in members])
        return Outputs(list(self._pool.map(one, members)))

    def frames_at_once(self, members: int) -> int:
        # One more than fills the threads: while it is made ready, or its maps are averaged, its members don't run.
        return -(-self._threads // members) + 1 if self._shared else 1

    def forget(self, shape: tuple[int, int]) -> None:
        pass  # the same sessions run frames of all sizes

    def close(self) -> None:
        self._sessions.clear()
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None


def pooled(open_session: Callable[[Path], Session]) -> Callable[[Mapping[str, Path], int | None], PooledMembers]:
    """How a `Way` opens members one session each."""
    return lambda files, threads: PooledMembers({member: open_session(file) for member, file in files.items()}, threads)
