"""Ways to run members on this machine's GPUs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import onnxruntime

from ._accelerator import Accelerator, AcceleratorFailed
from ._bound import BoundMembers
from ._cuda import Cuda
from ._device import gpus_for
from ._sharded import ShardedMembers
from ._ways import LoadError, Members, Precision, Way

T = TypeVar("T")
D = TypeVar("D", bound=Accelerator)
M = TypeVar("M", bound=Members)


def ways_on_gpus(count: int, precision: Precision) -> list[Way]:
    """ONNX Runtime on so many GPUs: in float32, and where it may be fast in float16, its numbers ordered in memory one way and the other."""
    runtime = f"onnxruntime {onnxruntime.__version__}, CUDA"
    opened = partial(open_on, [partial(Cuda, index) for index in range(count)])
    ways = [Way("onnxruntime", runtime, "float32", partial(opened, half=False, channels_last=False))]
    if precision == "fast":
        ways.append(Way("onnxruntime", runtime, "float16", partial(opened, half=True, channels_last=False)))
        ways.append(Way("onnxruntime", f"{runtime}, channels last", "float16", partial(opened, half=True, channels_last=True)))
    return ways


def gpu_copy_gb_s() -> float | None:
    """10^9 bytes a second, read and written, at which this machine's GPUs together copy within their memory; None where there is none, or it has no room."""
    rates = []
    for index in range(gpus_for("auto")):
        try:
            device = Cuda(index)
        except LoadError:
            return None
        try:
            rates.append(device.copy_gb_s())
        except AcceleratorFailed:
            return None
        finally:
            device.close()
    return sum(rates) or None


def open_on(devices: list[Callable[[], Accelerator]], files: Mapping[str, Path], threads: int | None, *, half: bool, channels_last: bool) -> Members:
    """Members on these devices, dealt out in turns; `threads` says nothing here."""
    parts = opened(devices, files, lambda part, device: BoundMembers(part, device, half=half, channels_last=channels_last))
    return parts[0][1] if len(parts) == 1 else ShardedMembers(parts)


def opened(devices: Sequence[Callable[[], D]], files: Mapping[str, Path], members_on: Callable[[dict[str, Path], D], M]) -> list[tuple[list[str], M]]:
    """Each device's share of the members, ready on it; where one can't be had, the others are given back."""
    parts: list[tuple[list[str], M]] = []
    try:
        for device, part in deal(devices, files):
            parts.append((list(part), members_on(part, device())))
    except BaseException:
        for _, members in parts:
            members.close()
        raise
    return parts


def deal(devices: Sequence[T], files: Mapping[str, Path]) -> list[tuple[T, dict[str, Path]]]:
    """Members dealt out to devices in turns; devices that would get none are left out."""
    used = devices[: len(files)]
    return [(device, dict(list(files.items())[k :: len(used)])) for k, device in enumerate(used)]
