"""The members of a bundle as ONNX Runtime sessions, one each."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from ..analysis import MemberFailed
from ..bundle import Bundle, Card
from ._device import Device, processors, providers_to_try


class LoadError(RuntimeError):
    """A bundle whose members can't be made into sessions, or not on the device asked for."""


@dataclass
class LoadedEnsemble:
    """A bundle whose members can run.

    All calls come from one thread; on the CPU the members then share a pool of one-thread sessions, which
    measured up to twice as fast as sessions with several threads each.

    providers : what the sessions really run on, the best first
    last_ms : milliseconds that each member took when it last ran
    """

    bundle: Bundle
    providers: tuple[str, ...]
    last_ms: dict[str, float] = field(default_factory=dict)
    _sessions: dict[str, Any] = field(default_factory=dict, repr=False)
    _pool: ThreadPoolExecutor | None = field(default=None, repr=False)

    @property
    def card(self) -> Card:
        return self.bundle.card

    @property
    def device(self) -> str:
        """`cuda` or `cpu`, as the sessions report it."""
        return "cuda" if "CUDAExecutionProvider" in self.providers else "cpu"

    def run(self, tensor: NDArray[np.float32], members: Sequence[str]) -> list[NDArray[np.float32]]:
        """The outputs (channels, H, W) of the named members on `tensor` (1, 1, H, W), in order.

        Raises
        ------
        MemberFailed
            when a session fails.
        """
        one = self._runner(tensor)
        if self._pool is None or len(members) == 1:
            return [one(member) for member in members]
        return list(self._pool.map(one, members))

    def warm(self, shape: tuple[int, int]) -> None:
        """Run every member on noise of a frame shape, rounded up to what the members take: the first run allocates, the second settles."""
        step = self.card.downsample
        padded = [-(-n // step) * step for n in shape]
        noise = np.random.default_rng(0).standard_normal((1, 1, *padded), np.float32)
        for _ in range(2):
            self.run(noise, self.card.member_ids)

    def close(self) -> None:
        """Give back all memory that the sessions hold."""
        self._sessions.clear()
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def _runner(self, tensor: NDArray[np.float32]) -> Callable[[str], NDArray[np.float32]]:
        def one(member: str) -> NDArray[np.float32]:
            start = time.perf_counter()
            try:
                output: NDArray[np.float32] = self._sessions[member].run(["probability"], {"frame": tensor})[0][0]
            except Exception as error:  # ONNX Runtime raises types of its own that share no documented base
                raise MemberFailed(member, str(error)) from error
            self.last_ms[member] = 1000 * (time.perf_counter() - start)
            return output

        return one


def load_ensemble(bundle: Bundle, device: Device = "auto", threads: int | None = None) -> LoadedEnsemble:
    """Sessions for every member of a bundle.

    device : where to run; `cuda` refuses to fall back
    threads : members run at once on the CPU; all processors by default

    Raises
    ------
    LoadError
        naming the member that can't be loaded, or saying that CUDA can't be had.
    """
    providers = providers_to_try(device)
    if not providers:
        raise LoadError("device cuda was asked for, but the installed onnxruntime is built without CUDA; install onnxruntime-gpu instead")
    sessions = {member.id: _session(bundle.member_path(member.id), providers) for member in bundle.card.members}
    found = {tuple(session.get_providers()) for session in sessions.values()}
    if len(found) > 1:
        raise LoadError(f"the members would run on different devices: {' and '.join(sorted(map(str, found)))}")
    (active,) = found
    if device == "cuda" and "CUDAExecutionProvider" not in active:
        raise LoadError(f"device cuda was asked for, but the sessions run on {', '.join(active)}")
    on_cpu = "CUDAExecutionProvider" not in active
    workers = min(threads or processors(), len(sessions))
    pool = ThreadPoolExecutor(workers, thread_name_prefix="member") if on_cpu and workers > 1 else None
    return LoadedEnsemble(bundle, active, _sessions=sessions, _pool=pool)


def _session(path: Path, providers: list[Any]) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # ONNX Runtime raises types of its own that share no documented base
        raise LoadError(f"member {path.name} can't be loaded: {error}") from error
