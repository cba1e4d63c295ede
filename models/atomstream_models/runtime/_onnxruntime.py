"""Members as ONNX Runtime sessions on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from ._pooled import pooled
from ._ways import LoadError, Way


class OnnxRuntimeSession:
    """One member on ONNX Runtime; it runs on the thread that asks."""

    shared = True

    def __init__(self, file: Path) -> None:
        self._session = _session(file.name, str(file))
        self.providers = tuple(self._session.get_providers())

    def run(self, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        output: NDArray[np.float32] = self._session.run(["probability"], {"frame": tensor})[0]
        return output


def _session(name: str, model: str | bytes) -> Any:
    _share_memory()
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises types of its own that share no documented base
        raise LoadError(f"member {name} can't be loaded: {error}") from error


def open_network(model: bytes) -> Callable[[Mapping[str, NDArray[Any]]], Mapping[str, NDArray[np.float32]]]:
    """Any network from its model, run on one thread from its inputs by their names to its outputs by theirs."""
    session = _session("in strips", model)
    names = [one.name for one in session.get_outputs()]
    return lambda inputs: dict(zip(names, session.run(names, dict(inputs)), strict=True))


@cache
def _share_memory() -> None:
    """One pool of memory for all sessions: only as many members as run at once need working memory, and each session would keep its own for good."""
    memory = onnxruntime.OrtMemoryInfo("Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT)
    as_requested = onnxruntime.OrtArenaCfg({"arena_extend_strategy": 1})
    onnxruntime.create_and_register_allocator(memory, as_requested)


def onnxruntime_way() -> Way:
    """ONNX Runtime on the CPU."""
    return Way("onnxruntime", f"onnxruntime {onnxruntime.__version__}", "float32", pooled(OnnxRuntimeSession))
