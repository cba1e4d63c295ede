"""What this machine can run a network on. Only a session that has been made tells the truth."""

from __future__ import annotations

import ctypes
import os
import platform
from dataclasses import asdict, dataclass
from typing import Any, Literal

import onnxruntime

from ._ways import LoadError

Device = Literal["auto", "cpu", "cuda"]
"""auto = CUDA where a session really gets it, else the CPU; cuda = CUDA or nothing."""


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


def gpus_for(device: Device) -> int:
    """How many GPUs there are to run members on; 0 where none is to be used, or `auto` finds none.

    Raises
    ------
    LoadError
        where CUDA is asked for and can't be had.
    """
    if device == "cpu":
        return 0
    built_in = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    found = _cuda_devices()
    if device == "cuda" and not built_in:
        raise LoadError("device cuda was asked for, but the installed onnxruntime is built without CUDA; install onnxruntime-gpu instead")
    if device == "cuda" and not found:
        raise LoadError("device cuda was asked for, but the NVIDIA driver finds no GPU")
    if not built_in or not found:
        return 0
    onnxruntime.preload_dlls()
    return found


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
