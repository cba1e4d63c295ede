"""Members on a device: everything stays in its memory until the frame's maps are fetched, once."""

from __future__ import annotations

import logging
import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import wait
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from ..analysis import FrameRefused, MemberFailed, Outputs
from ._accelerator import Accelerator, AcceleratorFailed
from ._gate import Gate
from ._lanes import Lanes
from ._mean_std import mean_std_network, use_of
from ._simpler import FUSED_AGAIN
from ._static import static_member
from ._ways import LoadError

log = logging.getLogger(__name__)

MOST_SHAPES = 3
"""Frame sizes for which sessions are kept; the one that was used longest ago makes room."""
_FLOAT32_BYTES = 4
_Input = tuple[str, type, tuple[int, ...], int]
_Output = tuple[str, tuple[int, ...], int]
"""A name of the network, shape, address on the device; of an input the kind of numbers, too."""
_SETTLING = 3
"""Runs until a session has allocated what it needs and its work is captured."""
_gate = Gate()
"""While a session's work is captured, no other thread may use a GPU: so that is done for one session at a time, between frames."""


class Providers(Protocol):
    """ONNX Runtime's providers for sessions on a stream, whose work is captured or not."""

    def __call__(self, stream: int, *, graphs: bool) -> list[Any]: ...


class BoundMembers:
    """Members on one device, dealt out to its streams, each writing its answer into its row of one buffer there; then their mean and standard deviation.

    For each frame size there are sessions of their own, of fixed shape, with fixed addresses: so their work is captured once and replayed.
    To leave a member out is to skip its run; nothing is made anew.

    files : member id -> ONNX file
    half : compute with 16 bits where that does not show
    channels_last : as for `Accelerator.providers`
    """

    def __init__(self, files: Mapping[str, Path], device: Accelerator, *, half: bool = False, channels_last: bool = False) -> None:
        self.last_ms: dict[str, float] = {}
        self._files = dict(files)
        self._device = device
        self._lanes = Lanes(device)
        self.at_once = min(len(self._lanes), len(files))
        self._half = half
        self._channels_last = channels_last
        self._sets: OrderedDict[tuple[int, int], _Sessions] = OrderedDict()
        try:
            self._channels, self.providers = self._look_at(next(iter(files.values())))
        except BaseException:
            self._lanes.close()
            device.close()
            raise
        if device.provider not in self.providers:
            self.close()
            raise LoadError(f"the members would run on {', '.join(self.providers)}, not on {device.kind} {device.index}")

    def run(self, tensor: NDArray[np.float32], members: Sequence[str]) -> Outputs:
        sessions = self._sessions((tensor.shape[2], tensor.shape[3]))
        try:
            with _gate.shared():
                outputs, took_ms = self._lanes.do(0, sessions.run, tensor, members).result()
        except AcceleratorFailed as error:
            raise FrameRefused("too_large", f"the device could not answer: {error}") from error
        self.last_ms.update(took_ms)
        return outputs

    def frames_at_once(self, members: int) -> int:
        return 1

    def forget(self, shape: tuple[int, int]) -> None:
        sessions = self._sets.pop(shape, None)
        if sessions is not None:
            with _gate.alone():
                sessions.close()

    def close(self) -> None:
        with _gate.shared():
            while self._sets:
                self._sets.popitem()[1].close()
            self._lanes.close()
            self._device.close()

    def _sessions(self, shape: tuple[int, int]) -> _Sessions:
        if shape not in self._sets:
            try:
                self._make(shape)
            except Exception as error:  # ONNX Runtime raises types of its own that share no documented base, for want of memory most likely
                rows, columns = shape
                raise FrameRefused("too_large", f"the members can't be made ready for frames of {rows}x{columns} pixels: {error}") from error
        self._sets.move_to_end(shape)
        return self._sets[shape]

    def _make(self, shape: tuple[int, int]) -> None:
        while len(self._sets) >= MOST_SHAPES:
            with _gate.shared():
                self._sets.popitem(last=False)[1].close()
        networks = self._networks(shape)
        self._sets[shape] = _Sessions(networks, self._channels, shape, self._device, self._lanes, self._member_providers, self._providers)

    def _look_at(self, file: Path) -> tuple[int, tuple[str, ...]]:
        """A member's channels, and what it runs on."""
        with _gate.shared():
            session = self._lanes.do(0, _session, file.read_bytes(), self._providers(0, graphs=False), captured=False).result()
            return int(session.get_outputs()[0].shape[1]), tuple(session.get_providers())

    def _networks(self, shape: tuple[int, int]) -> dict[str, bytes]:
        return {member: static_member(file, shape, half=self._half, simpler=True) for member, file in self._files.items()}

    def _member_providers(self, stream: int, *, graphs: bool) -> list[Any]:
        return self._providers(stream, graphs=graphs)

    def _providers(self, stream: int, *, graphs: bool) -> list[Any]:
        return self._device.providers(stream, graphs=graphs, channels_last=self._channels_last)


class _Sessions:
    """The members for frames of one size, their memory on the device, and what their answers come to."""

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
        self._device = device
        self._lanes = lanes
        self._number_of = {member: k for k, member in enumerate(networks)}
        self._map = (channels, *shape)
        self._map_bytes = math.prod(self._map) * _FLOAT32_BYTES
        self._used: tuple[bool, ...] | None = None
        self._runs: dict[str, _Run] = {}
        self._together: _Run | None = None
        count = len(networks)
        sizes = {"frame": math.prod(shape) * _FLOAT32_BYTES, "maps": count * self._map_bytes, "mean": self._map_bytes, "std": self._map_bytes}
        self._at: dict[str, int] = {}
        try:
            with _gate.shared():
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
            self.close()
            raise

    def run(self, tensor: NDArray[np.float32], members: Sequence[str]) -> tuple[Outputs, dict[str, float]]:
        """The answers, and how many milliseconds each member took; called by the first lane's thread."""
        device, together = self._device, self._together
        assert together is not None
        try:
            self._use(members)
            device.put(self._at["frame"], tensor)
            found = self._run_members(members)
            mean, std = found[members[0]], None
            if len(members) > 1:
                together()
                mean, std = (device.fetch(0, self._at[name], self._map) for name in ("mean", "std"))
        finally:
            marked = [device.wait(lane) for lane in range(len(self._lanes))]
        took_ms: dict[str, float] = {}
        for lane, mine in self._dealt(members).items():
            took_ms.update(zip(mine, marked[lane], strict=True))
        return Outputs([found[member] for member in members], mean, std), took_ms

    def _run_members(self, members: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """Have the members run on their lanes, and the first stream wait for them; the arrays are filled when it has been waited for."""
        device, dealt = self._device, self._dealt(members)
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
        device.mark(lane)
        for member in members:
            try:
                self._runs[member]()
            except Exception as error:  # ONNX Runtime raises types of its own that share no documented base
                raise MemberFailed(member, str(error)) from error
            device.mark(lane)
            found[member] = device.fetch(lane, self._at["maps"] + self._number_of[member] * self._map_bytes, self._map)
        return found

    def _dealt(self, members: Sequence[str]) -> dict[int, list[str]]:
        """Members by the lanes that they run on."""
        dealt: dict[int, list[str]] = {}
        for member in members:
            dealt.setdefault(self._lane(member), []).append(member)
        return dealt

    def _lane(self, member: str) -> int:
        return self._number_of[member] % len(self._lanes)

    def close(self) -> None:
        """Free the sessions, then the memory that they are bound to."""
        self._runs.clear()
        self._together = None
        while self._at:
            self._device.free(self._at.popitem()[1])

    def _use(self, members: Sequence[str]) -> None:
        """Tell the device whose maps count."""
        used = tuple(member in members for member in self._number_of)
        if used != self._used:
            for name, array in zip(("used", "share"), use_of(used), strict=True):
                self._device.put(self._at[name], array)
                self._device.wait(0)
            self._used = used

    def _ready(self, lane: int, network: bytes, providers: Providers, inputs: Sequence[_Input], outputs: Sequence[_Output]) -> _Run:
        """A session that has settled, its work captured where the device can do all of it."""
        try:
            return self._settled(lane, network, providers, inputs, outputs, captured=True)
        except Exception as error:  # ONNX Runtime raises types of its own that share no documented base
            log.warning("work on %s %d is started piece by piece, because it can't be captured: %s", self._device.kind, self._device.index, error)
            return self._settled(lane, network, providers, inputs, outputs, captured=False)

    def _settled(self, lane: int, network: bytes, providers: Providers, inputs: Sequence[_Input], outputs: Sequence[_Output], *, captured: bool) -> _Run:
        """A session after its first runs; frames go on until these begin."""

        def settle(run: _Run) -> None:
            for _ in range(_SETTLING):
                run()
            self._device.wait(lane)

        with _gate.shared():
            run = self._lanes.do(lane, _Run, network, providers(lane, graphs=captured), self._device, inputs, outputs, captured=captured).result()
        with _gate.alone():  # already the first run goes on, unasked, until its work is captured
            self._lanes.do(lane, settle, run).result()
        return run


class _Run:
    """A session whose inputs and outputs lie at fixed addresses of the device."""

    def __init__(
        self, network: bytes, providers: list[Any], device: Accelerator, inputs: Sequence[_Input], outputs: Sequence[_Output], *, captured: bool
    ) -> None:
        self._session = _session(network, providers, captured=captured)
        self.device = device
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


def _session(network: bytes, providers: list[Any], *, captured: bool) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # With patterns the runs need not allocate alike, and nothing may be allocated while a run is captured.
    options.enable_mem_pattern = not captured
    try:
        return onnxruntime.InferenceSession(network, options, providers=providers, disabled_optimizers=FUSED_AGAIN)
    except Exception as error:  # ONNX Runtime raises types of its own that share no documented base
        raise LoadError(f"a member can't be loaded: {error}") from error
