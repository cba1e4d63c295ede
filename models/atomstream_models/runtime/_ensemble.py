"""The members of a bundle as sessions, one each."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..analysis import MemberFailed
from ..bundle import Bundle, Card
from ._choice import Choice
from ._device import Device, processors, providers_to_try
from ._onnxruntime import onnxruntime_way
from ._reach import reach_px
from ._tiles import tiles
from ._ways import LoadError, Session, Way

TILE_PIXELS = 5 << 20
"""A quarter of 4096 x 4096 with what the shipped members see around it."""


@dataclass
class LoadedEnsemble:
    """A bundle whose members can run.

    All calls come from one thread; on the CPU the members then share a pool of one-thread sessions, which
    measured up to twice as fast as sessions with several threads each.

    way : what runs them
    tile_pixels : frames of more pixels than this are run in parts, where the members' reach is known
    reach_px : pixels around one that have a part in its answer, the largest of the members'; None where that is not known
    providers : what the sessions really run on, the best first
    choice : how the way was chosen; None where there was nothing to choose
    last_ms : milliseconds that each member took when it last ran
    """

    bundle: Bundle
    way: Way
    providers: tuple[str, ...]
    choice: Choice | None = None
    tile_pixels: int = TILE_PIXELS
    last_ms: dict[str, float] = field(default_factory=dict)
    _sessions: dict[str, Session] = field(default_factory=dict, repr=False)
    _pool: ThreadPoolExecutor | None = field(default=None, repr=False)
    _workers: int = 1

    @property
    def card(self) -> Card:
        return self.bundle.card

    @property
    def device(self) -> str:
        """`cuda` or `cpu`, as the sessions report it."""
        return "cuda" if "CUDAExecutionProvider" in self.providers else "cpu"

    @property
    def at_once(self) -> int:
        """How many members run at once."""
        return self._workers

    def run(self, tensor: NDArray[np.float32], members: Sequence[str]) -> list[NDArray[np.float32]]:
        """The outputs (channels, H, W) of the named members on `tensor` (1, 1, H, W), in order.

        Raises
        ------
        MemberFailed
            when a session fails.
        """
        if tensor.size > self.tile_pixels and self.reach_px is not None:
            return self._run_in_tiles(tensor, members, self.reach_px)
        return self._run_whole(tensor, members)

    @cached_property
    def reach_px(self) -> int | None:
        reaches = [reach_px(self.bundle.member_path(member)) for member in self.card.member_ids]
        known = [one for one in reaches if one is not None]
        return max(known) if len(known) == len(reaches) else None

    def _run_whole(self, tensor: NDArray[np.float32], members: Sequence[str]) -> list[NDArray[np.float32]]:
        one = self._runner(tensor)
        if self._pool is None or len(members) == 1:
            return [one(member) for member in members]
        return list(self._pool.map(one, members))

    def _run_in_tiles(self, tensor: NDArray[np.float32], members: Sequence[str], reach: int) -> list[NDArray[np.float32]]:
        """The same answers from parts that overlap by what the members see around a pixel."""
        shape = (tensor.shape[2], tensor.shape[3])
        took_ms = dict.fromkeys(members, 0.0)
        outputs = [np.empty((self.card.channels, *shape), np.float32) for _ in members]
        for tile in tiles(shape, reach, self.card.downsample, self.tile_pixels):
            answers = self._run_whole(np.ascontiguousarray(tensor[:, :, *tile.look]), members)
            for member, output, answer in zip(members, outputs, answers, strict=True):
                if answer.shape[0] != output.shape[0]:
                    raise MemberFailed(member, f"it answers {answer.shape[0]} channels, not {output.shape[0]}")
                output[:, *tile.place] = answer[:, *tile.keep]
                took_ms[member] += self.last_ms[member]
        self.last_ms |= took_ms
        return outputs

    def warm(self, shape: tuple[int, int]) -> None:
        """Run every member on noise of a frame shape, rounded up to what the members take: the first run allocates, the second settles."""
        noise = noise_of(shape, self.card)
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
                output: NDArray[np.float32] = self._sessions[member].run(tensor)[0]
            except Exception as error:  # runtimes raise types of their own that share no documented base
                raise MemberFailed(member, str(error)) from error
            self.last_ms[member] = 1000 * (time.perf_counter() - start)
            return output

        return one


def noise_of(shape: tuple[int, int], card: Card) -> NDArray[np.float32]:
    """Noise of a frame shape, rounded up to what the members take, shape (1, 1, H, W)."""
    padded = [-(-n // card.downsample) * card.downsample for n in shape]
    return np.random.default_rng(0).standard_normal((1, 1, *padded), np.float32)


def load_ensemble(bundle: Bundle, device: Device = "auto", threads: int | None = None) -> LoadedEnsemble:
    """Sessions for every member of a bundle on ONNX Runtime, in float32.

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
    ensemble = load_in(onnxruntime_way(providers), bundle, threads)
    if device == "cuda" and ensemble.device != "cuda":
        ensemble.close()
        raise LoadError(f"device cuda was asked for, but the sessions run on {', '.join(ensemble.providers)}")
    return ensemble


def load_in(way: Way, bundle: Bundle, threads: int | None) -> LoadedEnsemble:
    """Sessions for every member of a bundle in one way; LoadError where that can't be."""
    sessions = {member.id: way.open(bundle.member_path(member.id)) for member in bundle.card.members}
    found = {session.providers for session in sessions.values()}
    if len(found) > 1:
        raise LoadError(f"the members would run on different devices: {' and '.join(sorted(map(str, found)))}")
    (active,) = found
    workers = min(threads or processors(), len(sessions))
    pool = ThreadPoolExecutor(workers, thread_name_prefix="member") if "CUDAExecutionProvider" not in active and workers > 1 else None
    return LoadedEnsemble(bundle, way, active, _sessions=sessions, _pool=pool, _workers=1 if pool is None else workers)
