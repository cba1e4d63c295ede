from __future__ import annotations

import ctypes
import math
import os
import time
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import numpy_helper

from atomstream_models.runtime._compiled import CompiledMembers, ShardedCompiledMembers
from atomstream_models.runtime._compiled_networks import Recipe
from atomstream_models.runtime._gpus import deal
from atomstream_models.runtime._upgrade import BuiltMembers, Upgrade


class HostDevice:
    """The processor's own memory in the place of a GPU's: the code that runs members on a GPU goes through the same steps.

    allocated : the memory that is out, by its address
    waits : streams that were told to wait, as they were
    """

    provider = "CPUExecutionProvider"
    kind = "cpu"

    def __init__(self, index: int = 0, streams: int = 2) -> None:
        self.index = index
        self.streams = streams
        self.allocated: dict[int, NDArray[np.uint8]] = {}
        self.closed = False
        self._marks: list[list[float]] = [[] for _ in range(streams)]
        self.waits: list[str] = []

    def enter(self) -> None:
        """All threads work on the same processor."""

    def providers(self, stream: int, *, graphs: bool, channels_last: bool) -> list[Any]:
        return [self.provider]

    def allocate(self, size: int) -> int:
        memory = np.zeros(size + 64, np.uint8)
        address = -(-memory.ctypes.data // 64) * 64
        self.allocated[address] = memory
        return address

    def free(self, address: int) -> None:
        del self.allocated[address]

    def put(self, address: int, array: NDArray[Any]) -> None:
        array = np.ascontiguousarray(array)
        ctypes.memmove(address, array.ctypes.data, array.nbytes)

    def fetch(self, stream: int, address: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
        out = np.empty(shape, np.float32)
        ctypes.memmove(out.ctypes.data, address, 4 * math.prod(shape))
        return out

    def fork(self) -> None:
        self.waits.append("fork")

    def follow(self, stream: int) -> None:
        self.waits.append(f"{stream} follows")

    def join(self, stream: int) -> None:
        self.waits.append(f"{stream} joins")

    def mark(self, stream: int) -> None:
        self._marks[stream].append(time.perf_counter())

    def wait(self, stream: int) -> list[float]:
        marks, self._marks[stream] = self._marks[stream], []
        return [1000 * (end - begin) for begin, end in pairwise(marks)]

    def close(self) -> None:
        self.closed = True


class CompilingHost(HostDevice):
    """The processor as a device that runs what was compiled for it, too: networks as ONNX Runtime's own optimiser leaves them, written by another process."""

    compiled_provider = "CPUExecutionProvider"

    def __init__(self, index: int = 0, compile_with: str = "host_device:optimise") -> None:
        super().__init__(index)
        self.recipe = Recipe(compile_with, {"level": "basic"}, {"onnxruntime": onnxruntime.__version__})

    def compiled_providers(self, stream: int, *, graphs: bool) -> list[Any]:
        return [self.compiled_provider]


def compiled_upgrade(folder: Path, devices: list[CompilingHost], count: int = 1, compile_with: str = "host_device:optimise") -> Upgrade:
    """Such devices as a better way than the CPU's; they are put into `devices` once they are opened."""

    def opened(files: Mapping[str, Path], threads: int | None) -> BuiltMembers:
        own = [CompilingHost(index, compile_with) for index in range(count)]
        devices.extend(own)
        parts = [(list(part), CompiledMembers(part, device, folder)) for device, part in deal(own, files)]
        return parts[0][1] if count == 1 else ShardedCompiledMembers(parts)

    return Upgrade("onnxruntime", "onnxruntime, compiled", "float32", opened, instead_of="cpu")


def optimise(network: bytes, target: Path, options: Mapping[str, str]) -> None:
    """Write a network as ONNX Runtime would run it."""
    settings = onnxruntime.SessionOptions()
    settings.graph_optimization_level = {"basic": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC}[options["level"]]
    settings.optimized_model_filepath = str(target)
    onnxruntime.InferenceSession(network, settings, providers=["CPUExecutionProvider"])


def refuse(network: bytes, target: Path, options: Mapping[str, str]) -> None:
    """As a compiler that knows better."""
    print("a line before it")
    raise RuntimeError("no tactic for Conv_3\nand more")


def crash(network: bytes, target: Path, options: Mapping[str, str]) -> None:
    """As a compiler with a bug."""
    os._exit(42)


def dawdle(network: bytes, target: Path, options: Mapping[str, str]) -> None:
    """As a compiler that takes minutes."""
    target.with_suffix(".begun").touch()
    time.sleep(600)


def distort(network: bytes, target: Path, options: Mapping[str, str]) -> None:
    """As a compiler that is too free with numbers: all weights a twentieth larger."""
    model = onnx.load_from_string(network)
    for weights in model.graph.initializer:
        array = numpy_helper.to_array(weights)
        if array.ndim == 4:
            weights.CopyFrom(numpy_helper.from_array(array * np.float32(1.05), weights.name))
    onnx.save(model, str(target))
