"""The calls of the CUDA runtime, here answered by the processor's memory; `tests/gpu` makes them on a GPU."""

from __future__ import annotations

import ctypes
import gc
import pkgutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atomstream_models.runtime import LoadError, _cuda, _tensorrt
from atomstream_models.runtime._accelerator import AcceleratorFailed
from atomstream_models.runtime._cuda import Cuda
from atomstream_models.runtime._tensorrt import TensorRt


class _Runtime:
    """Does at once what CUDA does on a stream; `out` holds what has been handed out and not been given back, by address."""

    def __init__(self) -> None:
        self.out: dict[int, tuple[str, Any]] = {}
        self.fails: set[str] = set()
        self.clock = 0.0

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("cuda"):
            raise AttributeError(name)

        def call(*arguments: Any) -> int:
            if name in self.fails:
                return 2
            getattr(self, f"_{name}")(*arguments)
            return 0

        return call

    def cudaGetErrorString(self, code: int) -> bytes:  # noqa: N802
        return f"error {code}".encode()

    def _hand_out(self, kind: str, to: Any, size: int) -> None:
        memory = ctypes.create_string_buffer(size)
        to._obj.value = ctypes.addressof(memory)
        self.out[to._obj.value] = (kind, memory)

    def _take_back(self, kind: str, address: ctypes.c_void_p) -> None:
        assert address.value is not None
        assert self.out.pop(address.value)[0] == kind

    def _cudaSetDevice(self, index: int) -> None:  # noqa: N802
        assert index == 1

    def _cudaThreadExchangeStreamCaptureMode(self, mode: Any) -> None:  # noqa: N802
        assert mode._obj.value == 1

    def _cudaStreamCreateWithFlags(self, to: Any, flags: int) -> None:  # noqa: N802
        self._hand_out("stream", to, 1)

    def _cudaStreamDestroy(self, stream: ctypes.c_void_p) -> None:  # noqa: N802
        self._take_back("stream", stream)

    def _cudaStreamSynchronize(self, stream: ctypes.c_void_p) -> None:  # noqa: N802
        assert stream.value in self.out

    def _cudaMalloc(self, to: Any, size: ctypes.c_size_t) -> None:  # noqa: N802
        self._hand_out("device", to, size.value)

    def _cudaFree(self, address: ctypes.c_void_p) -> None:  # noqa: N802
        self._take_back("device", address)

    def _cudaHostAlloc(self, to: Any, size: ctypes.c_size_t, flags: int) -> None:  # noqa: N802
        self._hand_out("host", to, size.value)

    def _cudaFreeHost(self, address: ctypes.c_void_p) -> None:  # noqa: N802
        self._take_back("host", address)

    def _cudaMemsetAsync(self, address: ctypes.c_void_p, value: int, size: ctypes.c_size_t, stream: ctypes.c_void_p) -> None:  # noqa: N802
        ctypes.memset(address, value, size.value)

    def _cudaMemcpyAsync(self, to: ctypes.c_void_p, source: ctypes.c_void_p, size: ctypes.c_size_t, way: int, stream: ctypes.c_void_p) -> None:  # noqa: N802
        kinds = {1: ["device", "host"], 2: ["host", "device"], 3: ["device", "device"]}
        assert [self.out[one.value][0] for one in (to, source) if one.value is not None] == kinds[way]
        ctypes.memmove(to, source, size.value)

    def _cudaEventCreateWithFlags(self, to: Any, flags: int) -> None:  # noqa: N802
        self._hand_out("event" if flags == 0 else "untimed event", to, 8)

    def _cudaStreamWaitEvent(self, stream: ctypes.c_void_p, event: ctypes.c_void_p, flags: int) -> None:  # noqa: N802
        assert [self.out[one.value][0] for one in (stream, event) if one.value is not None] == ["stream", "untimed event"]

    def _cudaEventDestroy(self, event: ctypes.c_void_p) -> None:  # noqa: N802
        assert event.value is not None
        assert self.out.pop(event.value)[0].endswith("event")

    def _cudaEventRecord(self, event: ctypes.c_void_p, stream: ctypes.c_void_p) -> None:  # noqa: N802
        self.clock += 1.5
        ctypes.c_double.from_address(event.value or 0).value = self.clock

    def _cudaEventElapsedTime(self, ms: Any, begin: ctypes.c_void_p, end: ctypes.c_void_p) -> None:  # noqa: N802
        first, last = (ctypes.c_double.from_address(one.value or 0).value for one in (begin, end))
        ms._obj.value = last - first

    def _cudaDeviceGetAttribute(self, to: Any, attribute: int, index: int) -> None:  # noqa: N802
        to._obj.value = {75: 9, 76: 0, 16: 132}[attribute]


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> _Runtime:
    runtime = _Runtime()
    monkeypatch.setattr(_cuda, "_runtime", lambda: runtime)
    return runtime


def test_what_goes_to_the_gpu_comes_back_and_nothing_is_kept(runtime: _Runtime) -> None:
    gpu = Cuda(1)
    array = np.random.default_rng(0).standard_normal((3, 5), np.float32)
    address = gpu.allocate(array.nbytes)
    gpu.mark(0)
    gpu.put(address, array[:, ::-1])
    gpu.mark(0)
    gpu.put(address, array)
    gpu.fork()
    gpu.follow(1)
    gpu.mark(1)
    back = gpu.fetch(1, address, array.shape)
    gpu.mark(1)
    gpu.join(1)
    gpu.mark(0)

    assert [gpu.wait(stream) for stream in (0, 1, 0)] == [[1.5, 7.5], [1.5], []]
    np.testing.assert_array_equal(back, array)
    gpu.free(address)
    gpu.close()
    np.testing.assert_array_equal(back, array)
    del back
    gc.collect()
    # An array that ends while work is captured must not call CUDA; the next device tidies up.
    assert [kind for kind, _ in runtime.out.values()] == ["host"]
    another = Cuda(1)
    another.free(another.allocate(8))
    another.close()
    assert not runtime.out


def test_sessions_are_asked_to_run_on_its_stream(runtime: _Runtime) -> None:
    gpu = Cuda(1)
    (name, options), _ = gpu.providers(1, graphs=True, channels_last=False)

    assert name == "CUDAExecutionProvider"
    assert int(options["user_compute_stream"]) in runtime.out
    assert (options["device_id"], options["enable_cuda_graph"], options["prefer_nhwc"]) == ("1", "1", "0")


def test_engines_run_on_its_stream_and_are_built_for_its_kind_and_this_version(runtime: _Runtime, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(_tensorrt, "_version", lambda: "10.15.1")
    gpu = TensorRt(1, tmp_path, half=True)
    (name, options), (rest, cuda), _ = gpu.compiled_providers(1, graphs=True)

    assert (name, rest) == ("TensorrtExecutionProvider", "CUDAExecutionProvider")
    assert options["user_compute_stream"] == cuda["user_compute_stream"]
    assert (options["trt_cuda_graph_enable"], cuda["enable_cuda_graph"], options["trt_fp16_enable"]) == ("1", "0", "1")
    assert gpu.recipe.depends_on["gpu"] == "9.0.132"
    assert gpu.recipe.depends_on["tensorrt"] == "10.15.1"
    assert gpu.recipe.environment == {"NVIDIA_TF32_OVERRIDE": "0"}
    assert pkgutil.resolve_name(gpu.recipe.compile) is _tensorrt.write_engine


def test_the_rate_of_copies_counts_what_is_read_and_what_is_written(runtime: _Runtime) -> None:
    gpu = Cuda(1)

    assert gpu.copy_gb_s(3_000_000) == pytest.approx(2 * 3e6 / 1.5e-3 / 1e9)  # 1.5 ms from mark to mark
    gpu.close()
    assert not runtime.out


def test_a_gpu_that_refuses_says_what_it_refused(runtime: _Runtime) -> None:
    gpu = Cuda(1)
    runtime.fails = {"cudaMalloc"}
    with pytest.raises(AcceleratorFailed, match="cudaMalloc: error 2"):
        gpu.allocate(64)
    gpu.close()
    runtime.fails = {"cudaEventCreateWithFlags"}
    with pytest.raises(LoadError, match="GPU 1 can't be used: cudaEventCreateWithFlags: error 2"):
        Cuda(1)
    assert not runtime.out
    runtime.fails = {"cudaSetDevice"}
    with pytest.raises(LoadError, match="GPU 1 can't be used: cudaSetDevice: error 2"):
        Cuda(1)


def test_without_the_cuda_runtime_no_gpu_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_cuda, "_LIBRARIES", ("libcudart.so.0",))

    with pytest.raises(LoadError, match=r"the CUDA runtime \(libcudart.so.0\) can't be loaded"):
        Cuda(0)
