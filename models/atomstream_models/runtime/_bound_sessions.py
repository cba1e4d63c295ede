"""Sessions for frames of one size on a device, their inputs and outputs at fixed addresses of its memory."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import wait
from typing import Any, Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from ..analysis import MemberFailed, Outputs
from ._accelerator import Accelerator, AcceleratorFailed
from ._gate import Gate
from ._lanes import Lanes
from ._mean_std import mean_std_network, use_of
from ._simpler import FUSED_AGAIN
from ._ways import LoadError

log = logging.getLogger(__name__)

_FLOAT32_BYTES = 4
_Input = tuple[str, type, tuple[int, ...], int]
_Output = tuple[str, tuple[int, ...], int]
"""A name of the network, shape, address on the device; of an input the kind of numbers, too."""
_SETTLING = 3
"""Runs until a session has allocated what it needs and its work is captured."""
gate = Gate()
"""While a session's work is captured, no other thread may use a GPU: so that is done for one session at a time, between frames."""
_making = threading.Lock()
"""Sessions are made one at a time, so that what is to be captured waits for frames alone, and not for another session that is just being opened."""


class Providers(Protocol):
    """ONNX Runtime's providers for sessions on a stream, whose work is captured or not."""

    def __call__(self, stream: int, *, graphs: bool) -> list[Any]: ...


class BoundSessions:
    """The members for frames of one size, their memory on the device, and what their answers come to.

    networks : member id -> its network for this frame size
    channels, shape : of a member's answer; rows and columns of a frame
    member_providers, providers : for the members; for their mean and standard deviation
    closed : whether all is given back, and nothing can be run any more
    """

    def __init__(
        self,
        networks: Mapping[str, bytes],
        channels: int,
        shape: tuple[int, int],
        device: Accelerator,
        lanes: Lanes,
        member_providers: Providers,
        providers: Providers,
    ) -> None:
        self.closed = False
        self._device = device
        self._lanes = lanes
        self._number_of = {member: k for k, member in enumerate(networks)}
        self._map = (channels, *shape)
        self._map_bytes = math.prod(self._map) * _FLOAT32_BYTES
        self._used: tuple[bool, ...] | None = None
        self._runs: dict[str, BoundRun] = {}
        self._together: BoundRun | None = None
        count = len(networks)
        sizes = {"frame": math.prod(shape) * _FLOAT32_BYTES, "maps": count * self._map_bytes, "mean": self._map_bytes, "std": self._map_bytes}
        self._at: dict[str, int] = {}
        try:
            device.enter()
            with gate.shared():
                for name, size in {**sizes, "used": count, "share": count * _FLOAT32_BYTES}.items():
                    self._at[name] = device.allocate(size)
            for k, (member, network) in enumerate(networks.items()):
                answer = ("probability", (1, *self._map), self._at["maps"] + k * self._map_bytes)
                frame = ("frame", np.float32, (1, 1, *shape), self._at["frame"])
                self._runs[member] = self._ready(self._lane(member), network, member_providers, [frame], [answer])
            inputs = [
                ("maps", np.float32, (count, *self._map), self._at["maps"]),
                ("used", np.bool_, (count, 1, 1, 1), self._at["used"]),
                ("share", np.float32, (count, 1, 1, 1), self._at["share"]),
            ]
            outputs = [(name, self._map, self._at[name]) for name in ("mean", "std")]
            self._together = self._ready(0, mean_std_network(count, channels, shape), providers, inputs, outputs)
        except BaseException:
            with gate.shared():
                self.close()
            raise

    def run(self, tensor: NDArray[np.float32], members: Sequence[str]) -> tuple[Outputs, dict[str, float]]:
        """The answers, and how many milliseconds each member took; called by the first lane's thread.

        Raises
        ------
        MemberFailed
            naming the member whose session failed.
        AcceleratorFailed
            where the device did.
        """
        device, dealt = self._device, self._dealt(members)
        try:
            self._use(members)
            device.put(self._at["frame"], tensor)
            found = self._run_members(dealt)
            mean, std = found[members[0]], None
            if len(members) > 1:
                self._combine()
                mean, std = (device.fetch(0, self._at[name], self._map) for name in ("mean", "std"))
        finally:
            marked = self._wait()
        # Each member has a mark before and one after its run; between two members the first one's answer is fetched.
        took_ms = {member: ms for lane, mine in dealt.items() for member, ms in zip(mine, marked[lane][::2], strict=True)}
        return Outputs([found[member] for member in members], mean, std), took_ms

    def close(self) -> None:
        """Free the sessions, then the memory that they are bound to."""
        self.closed = True
        self._device.enter()
        self._runs.clear()
        self._together = None
        while self._at:
            self._device.free(self._at.popitem()[1])

    def _run_members(self, dealt: Mapping[int, Sequence[str]]) -> dict[str, NDArray[np.float32]]:
        """Have the members run on their lanes, and the first stream wait for them; the arrays are filled when it has been waited for."""
        device = self._device
        device.fork()
        others = {lane: self._lanes.do(lane, self._run_lane, lane, mine) for lane, mine in dealt.items() if lane}
        try:
            found = self._run_lane(0, dealt.get(0, []))
        finally:
            wait(others.values())
        for lane, other in others.items():
            found |= other.result()
            device.join(lane)
        return found

    def _run_lane(self, lane: int, members: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        device = self._device
        if lane:
            device.follow(lane)
        found = {}
        for member in members:
            device.mark(lane)
            try:
                self._runs[member]()
            except Exception as error:  # ONNX Runtime raises types of its own that share no documented base
                raise MemberFailed(member, str(error)) from error
            device.mark(lane)
            found[member] = device.fetch(lane, self._at["maps"] + self._number_of[member] * self._map_bytes, self._map)
        return found

    def _combine(self) -> None:
        assert self._together is not None
        try:
            self._together()
        except Exception as error:  # ONNX Runtime raises types of its own that share no documented base
            raise AcceleratorFailed(f"no mean and std: {error}") from error

    def _wait(self) -> list[list[float]]:
        """Wait for all streams, whichever fails, since memory is used again after it; the milliseconds between each one's marks."""
        marked: list[list[float]] = []
        failed: AcceleratorFailed | None = None
        for lane in range(len(self._lanes)):
            try:
                marked.append(self._device.wait(lane))
            except AcceleratorFailed as error:
                failed = failed or error
        if failed is not None:
            raise failed
        return marked

    def _dealt(self, members: Sequence[str]) -> dict[int, list[str]]:
        """Members by the lanes that they run on."""
        dealt: dict[int, list[str]] = {}
        for member in members:
            dealt.setdefault(self._lane(member), []).append(member)
        return dealt

    def _lane(self, member: str) -> int:
        return self._number_of[member] % len(self._lanes)

    def _use(self, members: Sequence[str]) -> None:
        """Tell the device whose maps count."""
        used = tuple(member in members for member in self._number_of)
        if used != self._used:
            self._used = None
            for name, array in zip(("used", "share"), use_of(used), strict=True):
                self._device.put(self._at[name], array)
                self._device.wait(0)
            self._used = used

    def _ready(self, lane: int, network: bytes, providers: Providers, inputs: Sequence[_Input], outputs: Sequence[_Output]) -> BoundRun:
        """A session that has settled, its work captured where the device can do all of it."""
        try:
            return self._settled(lane, network, providers, inputs, outputs, captured=True)
        except LoadError:
            raise
        except Exception as error:  # ONNX Runtime raises types of its own that share no documented base
            why = str(error)
        # Out of the handler, so that nothing holds on to the session that failed, and its memory.
        log.warning("work on %s %d is started piece by piece, because it can't be captured: %s", self._device.kind, self._device.index, why)
        return self._settled(lane, network, providers, inputs, outputs, captured=False)

    def _settled(self, lane: int, network: bytes, providers: Providers, inputs: Sequence[_Input], outputs: Sequence[_Output], *, captured: bool) -> BoundRun:
        """A session after its first runs; frames on other lanes go on until these begin."""

        def settle(run: BoundRun) -> None:
            for _ in range(_SETTLING):
                run()
            self._device.wait(lane)

        with _making:
            with gate.shared():
                run = self._lanes.do(lane, BoundRun, network, providers(lane, graphs=captured), self._device, inputs, outputs, captured=captured).result()
            with gate.alone():  # already the first run goes on, unasked, until its work is captured
                self._lanes.do(lane, settle, run).result()
        return run


class BoundRun:
    """A session whose inputs and outputs lie at fixed addresses of the device."""

    def __init__(
        self, network: bytes, providers: list[Any], device: Accelerator, inputs: Sequence[_Input], outputs: Sequence[_Output], *, captured: bool
    ) -> None:
        self._session = open_session(network, providers, captured=captured)
        self._binding = self._session.io_binding()
        self._options = onnxruntime.RunOptions()
        # The frame is waited for once, at its end.
        self._options.add_run_config_entry("disable_synchronize_execution_providers", "1")
        for name, kind, shape, address in inputs:
            self._binding.bind_input(name, device.kind, device.index, kind, list(shape), address)
        for name, shape, address in outputs:
            self._binding.bind_output(name, device.kind, device.index, np.float32, list(shape), address)

    def __call__(self) -> None:
        self._session.run_with_iobinding(self._binding, self._options)


def open_session(network: bytes, providers: list[Any], *, captured: bool) -> Any:
    """A session of ONNX Runtime; LoadError where it can't be had.

    captured : whether its work is to be captured
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # With patterns the runs need not allocate alike, and nothing may be allocated while a run is captured.
    options.enable_mem_pattern = not captured
    try:
        return onnxruntime.InferenceSession(network, options, providers=providers, disabled_optimizers=FUSED_AGAIN)
    except Exception as error:  # ONNX Runtime raises types of its own that share no documented base
        raise LoadError(f"a member can't be loaded: {error}") from error
