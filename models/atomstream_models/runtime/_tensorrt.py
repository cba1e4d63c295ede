"""TensorRT: NVIDIA's compiler of networks, which ONNX Runtime knows how to use where it is installed.

Options as in https://onnxruntime.ai/docs/execution-providers/TensorRT-ExecutionProvider.html.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from functools import cached_property, partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import onnxruntime

from ._compiled import CompiledMembers, ShardedCompiledMembers
from ._compiled_networks import Recipe
from ._cuda import Cuda
from ._device import Device, gpus_for
from ._gpus import opened
from ._upgrade import BuiltMembers, Upgrade
from ._ways import LoadError, Precision

PROVIDER = "TensorrtExecutionProvider"
_CUDA = "CUDAExecutionProvider"
_LIBRARIES = ("nvinfer_10.dll", "nvonnxparser_10.dll") if os.name == "nt" else ("libnvinfer.so.10", "libnvonnxparser.so.10")
_WORKSPACE_BYTES = 1 << 30
"""By itself TensorRT tries what needs all the memory there is, beside an ensemble that answers frames."""


def tensorrt_missing() -> str | None:
    """Why TensorRT can't be used here; None where it can."""
    if PROVIDER not in onnxruntime.get_available_providers():
        return "the installed onnxruntime is built without TensorRT; install onnxruntime-gpu instead"
    try:
        _load_libraries()
    except OSError as error:
        return f"TensorRT 10 is not installed ({error}); install the extra `tensorrt`"
    return None


def tensorrt_upgrade(device: Device, precision: Precision, folder: Path) -> Upgrade | str:
    """TensorRT on all GPUs, or why it can't be had.

    folder : where what it compiles is kept
    """
    try:
        gpus = gpus_for(device)
    except LoadError as error:
        return str(error)
    if not gpus:
        return "the members run on the CPU, and TensorRT needs an NVIDIA GPU"
    missing = tensorrt_missing()
    if missing is not None:
        return missing
    half = precision == "fast"
    runtime = f"onnxruntime {onnxruntime.__version__}, TensorRT {_version()}"
    opened = partial(_open, [partial(TensorRt, index, folder, half=half) for index in range(gpus)], folder)
    return Upgrade("onnxruntime", runtime, "float16" if half else "float32", opened)


class TensorRt(Cuda):
    """One GPU that members run on as TensorRT's engines; mean and std stay with CUDA.

    folder : where timings of the GPU's kernels are kept, which make every further engine quicker to build
    half : 16 bits where TensorRT finds that faster
    """

    compiled_provider = PROVIDER

    def __init__(self, index: int, folder: Path, *, half: bool) -> None:
        super().__init__(index)
        self._folder = folder
        self._half = half

    @cached_property
    def recipe(self) -> Recipe:
        options = {
            "device_id": str(self.index),
            "trt_fp16_enable": str(int(self._half)),
            "trt_max_workspace_size": str(_WORKSPACE_BYTES),
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": str(self._folder.resolve()),
        }
        depends_on = {"onnxruntime": onnxruntime.__version__, "tensorrt": _version(), "gpu": ".".join(map(str, self.architecture()))}
        # TensorRT takes ten mantissa bits for float32 unless this says no; its provider has no option for that (microsoft/onnxruntime#26029).
        return Recipe("atomstream_models.runtime._tensorrt:write_engine", options, depends_on, {"NVIDIA_TF32_OVERRIDE": "0"})

    def compiled_providers(self, stream: int, *, graphs: bool) -> list[Any]:
        options = {
            "device_id": str(self.index),
            "user_compute_stream": self.address_of(stream),
            "trt_cuda_graph_enable": str(int(graphs)),
            "trt_fp16_enable": str(int(self._half)),
        }
        return [(PROVIDER, options), *self.providers(stream, graphs=False, channels_last=False)]


def write_engine(network: bytes, target: Path, options: Mapping[str, str]) -> None:
    """Build a network's engine, and write an ONNX file that holds nothing else; in the process that `CompiledNetworks` starts.

    ONNX Runtime's own cache of engines tells networks apart by their layers' names alone: members of one architecture would get each other's engine
    (microsoft/onnxruntime#6455), and so would frame sizes (#32254).
    A file with the engine inside is opened without TensorRT's builder, and built by nobody else.
    """
    missing = tensorrt_missing()
    if missing is not None:
        raise LoadError(missing)
    onnxruntime.preload_dlls()
    written = {"trt_dump_ep_context_model": "1", "trt_ep_context_embed_mode": "1", "trt_ep_context_file_path": str(target)}
    cuda = (_CUDA, {"device_id": options["device_id"], "use_tf32": "0"})
    session = onnxruntime.InferenceSession(network, providers=[(PROVIDER, {**options, **written}), cuda])
    found = session.get_providers()
    del session
    if PROVIDER not in found:
        raise LoadError(f"the network would run on {', '.join(found)}, not on TensorRT")
    if not target.exists():
        raise LoadError("TensorRT does not take the whole network")


def _open(devices: list[partial[TensorRt]], folder: Path, files: Mapping[str, Path], threads: int | None) -> BuiltMembers:
    parts = opened(devices, files, lambda part, device: CompiledMembers(part, device, folder))
    return parts[0][1] if len(parts) == 1 else ShardedCompiledMembers(parts)


def _load_libraries() -> None:
    """Load TensorRT where the system finds it, else from the Python package."""
    try:
        for name in _LIBRARIES:
            ctypes.CDLL(name)
    except OSError as error:
        try:
            import_module("tensorrt")
        except Exception:  # the package raises what its loading of libraries raises
            raise error from None
        for name in _LIBRARIES:
            ctypes.CDLL(name)


def _version() -> str:
    for package in ("tensorrt-cu13", "tensorrt-cu12", "tensorrt"):
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    number = getattr(ctypes.CDLL(_LIBRARIES[0]), "getInferLibVersion", None)
    return "10" if number is None else str(number())
