"""What this machine can run a network on. Only a session that has been made tells the truth."""

from __future__ import annotations

import ctypes
import os
import platform
from dataclasses import asdict, dataclass
from typing import Any, Literal

import onnxruntime

Device = Literal["auto", "cpu", "cuda"]
"""auto = CUDA where a session really gets it, else the CPU; cuda = CUDA or nothing."""

_CUDA: tuple[str, dict[str, str]] = (
    "CUDAExecutionProvider",
    {
        # DEFAULT is up to fifty times slower, EXHAUSTIVE stalls for seconds on each new frame size.
        "cudnn_conv_algo_search": "HEURISTIC",
        "arena_extend_strategy": "kSameAsRequested",
        # Ten mantissa bits would show in the std maps.
        "use_tf32": "0",
    },
)


@dataclass(frozen=True)
class RuntimeReport:
    """The runtime and what it finds here.

    cuda_devices : NVIDIA GPUs that the driver answers for; the provider list alone says nothing about them
    """

    runtime: str
    providers_built_in: tuple[str, ...]
    cuda_devices: int
    processors: int
    machine: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def runtime_report() -> RuntimeReport:
    """What ONNX Runtime is installed, and what is there for it."""
    return RuntimeReport(
        runtime=f"onnxruntime {onnxruntime.__version__}",
        providers_built_in=tuple(onnxruntime.get_available_providers()),
        cuda_devices=_cuda_devices(),
        processors=processors(),
        machine=f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
    )


def processors() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def providers_to_try(device: Device) -> list[Any]:
    """Providers for a new session, best first; empty where CUDA is asked for and the installed runtime has none."""
    built_in = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    if device == "cuda" and not built_in:
        return []
    if device == "cuda" or (device == "auto" and built_in and _cuda_devices()):
        onnxruntime.preload_dlls()
        return [_CUDA, "CPUExecutionProvider"]
    return ["CPUExecutionProvider"]


def _cuda_devices() -> int:
    """How many GPUs the NVIDIA driver reports; 0 without a driver."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return 0
    return count.value
