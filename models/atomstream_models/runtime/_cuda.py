"""An NVIDIA GPU, through the CUDA runtime that ONNX Runtime itself has loaded."""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._accelerator import AcceleratorFailed
from ._lending import Lending
from ._ways import LoadError

_NON_BLOCKING, _PORTABLE, _NO_TIMING = 1, 1, 2
_TO_DEVICE, _TO_HOST, _WITHIN = 1, 2, 3
_THREAD_LOCAL = 1
"""cudaStreamCaptureModeThreadLocal: what other threads capture forbids this one nothing."""
_LIBRARIES = ("cudart64_13.dll", "cudart64_12.dll") if os.name == "nt" else ("libcudart.so.13", "libcudart.so.12")
_FLOAT32_BYTES = 4
_ARCHITECTURE = (75, 76, 16)
"""cudaDevAttrComputeCapabilityMajor, cudaDevAttrComputeCapabilityMinor, cudaDevAttrMultiProcessorCount."""


STREAMS = 4
"""That members are dealt out to: a single network of a few filters leaves most of a large GPU idle."""


_to_unlock: deque[int] = deque()
"""Page-locked memory whose device is gone. Arrays give theirs back whenever they end, on any thread, when work may just be captured, and CUDA must not be asked
for anything: so it waits here for whoever next asks for memory or closes a device."""


@dataclass
class _Stream:
    """A stream, the event that other streams wait for, and events that mark moments, of which `marked` are in use."""

    handle: ctypes.c_void_p
    event: ctypes.c_void_p = field(default_factory=ctypes.c_void_p)
    marks: list[ctypes.c_void_p] = field(default_factory=list)
    marked: int = 0


class Cuda:
    """One GPU, with streams of its own. Memory that the host reads from is page-locked, so that copies run at full speed beside the computation.

    Raises
    ------
    LoadError
        where the CUDA runtime can't be loaded, or refuses.
    """

    provider = "CUDAExecutionProvider"
    kind = "cuda"

    def __init__(self, index: int, streams: int = STREAMS) -> None:
        self.index = index
        self.streams = streams
        self._runtime = _runtime()
        self._staged: tuple[int, int] | None = None
        self._locked = Lending(self._lock_pages, _to_unlock.append)
        self._streams: list[_Stream] = []
        try:
            self.enter()
            for _ in range(streams):
                self._streams.append(_Stream(self._made("cudaStreamCreateWithFlags", _NON_BLOCKING)))
                self._streams[-1].event = self._made("cudaEventCreateWithFlags", _NO_TIMING)
        except AcceleratorFailed as error:
            self.close()
            raise LoadError(f"GPU {index} can't be used: {error}") from error

    def enter(self) -> None:
        self._call("cudaSetDevice", self.index)
        mode = ctypes.c_int(_THREAD_LOCAL)
        self._call("cudaThreadExchangeStreamCaptureMode", ctypes.byref(mode))

    def address_of(self, stream: int) -> str:
        """A stream's address, as ONNX Runtime's options want it."""
        return str(self._streams[stream].handle.value)

    def architecture(self) -> tuple[int, int, int]:
        """Compute capability, major and minor, and how many multiprocessors there are."""
        found = []
        for attribute in _ARCHITECTURE:
            value = ctypes.c_int()
            self._call("cudaDeviceGetAttribute", ctypes.byref(value), attribute, self.index)
            found.append(value.value)
        return found[0], found[1], found[2]

    def providers(self, stream: int, *, graphs: bool, channels_last: bool) -> list[Any]:
        options = {
            "device_id": str(self.index),
            "user_compute_stream": self.address_of(stream),
            "enable_cuda_graph": str(int(graphs)),
            "prefer_nhwc": str(int(channels_last)),
            # DEFAULT is up to fifty times slower, EXHAUSTIVE stalls for seconds on each new frame size.
            "cudnn_conv_algo_search": "HEURISTIC",
            "arena_extend_strategy": "kSameAsRequested",
            # Ten mantissa bits would show in the std maps.
            "use_tf32": "0",
        }
        return [(self.provider, options), "CPUExecutionProvider"]

    def allocate(self, size: int) -> int:
        self._call("cudaSetDevice", self.index)
        self._unlock()
        address = ctypes.c_void_p()
        self._call("cudaMalloc", ctypes.byref(address), ctypes.c_size_t(size))
        assert address.value is not None
        self._call("cudaMemsetAsync", address, 0, ctypes.c_size_t(size), self._streams[0].handle)
        # Other streams use it, too.
        self._call("cudaStreamSynchronize", self._streams[0].handle)
        return address.value

    def free(self, address: int) -> None:
        self._call("cudaSetDevice", self.index)
        self._call("cudaFree", ctypes.c_void_p(address))

    def put(self, address: int, array: NDArray[Any]) -> None:
        """The array goes to page-locked memory first; what went there before must have been waited for."""
        array = np.ascontiguousarray(array)
        if self._staged is None or self._staged[1] < array.nbytes:
            if self._staged is not None:
                old, self._staged = self._staged[0], None
                self._unlock_pages(old)
            self._staged = (self._lock_pages(array.nbytes), array.nbytes)
        ctypes.memmove(self._staged[0], array.ctypes.data, array.nbytes)
        self._copy(address, self._staged[0], array.nbytes, _TO_DEVICE)

    def fetch(self, stream: int, address: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
        size = math.prod(shape) * _FLOAT32_BYTES
        array, to = self._locked.array(size)
        self._copy(to, address, size, _TO_HOST, stream)
        return array[:size].view(np.float32).reshape(shape)

    def fork(self) -> None:
        self._call("cudaEventRecord", self._streams[0].event, self._streams[0].handle)

    def follow(self, stream: int) -> None:
        self._call("cudaStreamWaitEvent", self._streams[stream].handle, self._streams[0].event, 0)

    def join(self, stream: int) -> None:
        self._call("cudaEventRecord", self._streams[stream].event, self._streams[stream].handle)
        self._call("cudaStreamWaitEvent", self._streams[0].handle, self._streams[stream].event, 0)

    def mark(self, stream: int) -> None:
        of = self._streams[stream]
        if of.marked == len(of.marks):
            of.marks.append(self._made("cudaEventCreateWithFlags", 0))
        self._call("cudaEventRecord", of.marks[of.marked], of.handle)
        of.marked += 1

    def wait(self, stream: int) -> list[float]:
        of = self._streams[stream]
        marked, of.marked = of.marks[: of.marked], 0
        self._call("cudaStreamSynchronize", of.handle)
        return [self._ms_between(begin, end) for begin, end in pairwise(marked)]

    def copy_gb_s(self, size: int = 1 << 28, rounds: int = 5) -> float:
        """10^9 bytes a second, read and written, at which it copies `size` bytes within its own memory; the best of some rounds."""
        buffers: list[int] = []
        try:
            for _ in range(2):
                buffers.append(self.allocate(size))
            self.mark(0)
            for _ in range(rounds):
                self._copy(buffers[1], buffers[0], size, _WITHIN)
                self.mark(0)
            return 2 * size / min(self.wait(0)) / 1e6
        finally:
            for address in buffers:
                self.free(address)

    def close(self) -> None:
        if self._staged is not None:
            self._unlock_pages(self._staged[0])
            self._staged = None
        self._locked.close()
        self._unlock()
        while self._streams:
            of = self._streams.pop()
            for event in (*of.marks, of.event):
                if event.value is not None:
                    self._call("cudaEventDestroy", event)
            self._call("cudaStreamDestroy", of.handle)

    def _made(self, name: str, flags: int) -> ctypes.c_void_p:
        made = ctypes.c_void_p()
        self._call(name, ctypes.byref(made), flags)
        return made

    def _ms_between(self, begin: ctypes.c_void_p, end: ctypes.c_void_p) -> float:
        ms = ctypes.c_float()
        self._call("cudaEventElapsedTime", ctypes.byref(ms), begin, end)
        return ms.value

    def _copy(self, to: int, source: int, size: int, direction: int, stream: int = 0) -> None:
        self._call("cudaMemcpyAsync", ctypes.c_void_p(to), ctypes.c_void_p(source), ctypes.c_size_t(size), direction, self._streams[stream].handle)

    def _lock_pages(self, size: int) -> int:
        address = ctypes.c_void_p()
        self._call("cudaHostAlloc", ctypes.byref(address), ctypes.c_size_t(size), _PORTABLE)
        assert address.value is not None
        return address.value

    def _unlock(self) -> None:
        with contextlib.suppress(IndexError):
            while True:
                self._unlock_pages(_to_unlock.popleft())

    def _unlock_pages(self, address: int) -> None:
        self._call("cudaFreeHost", ctypes.c_void_p(address))

    def _call(self, name: str, *arguments: Any) -> None:
        code = getattr(self._runtime, name)(*arguments)
        if code:
            raise AcceleratorFailed(f"{name}: {self._runtime.cudaGetErrorString(code).decode()}")


def _runtime() -> ctypes.CDLL:
    for name in _LIBRARIES:
        with contextlib.suppress(OSError):
            runtime = ctypes.CDLL(name)
            runtime.cudaGetErrorString.restype = ctypes.c_char_p
            return runtime
    raise LoadError(f"the CUDA runtime ({' or '.join(_LIBRARIES)}) can't be loaded")
