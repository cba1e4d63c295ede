"""Members as ONNX Runtime sessions."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from ._ways import LoadError, Way


class OnnxRuntimeSession:
    """One member on ONNX Runtime, with one thread of its own on the CPU."""

    def __init__(self, file: Path, providers: list[Any]) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(str(file), options, providers=providers)
        except Exception as error:  # ONNX Runtime raises types of its own that share no documented base
            raise LoadError(f"member {file.name} can't be loaded: {error}") from error
        self.providers = tuple(self._session.get_providers())

    def run(self, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        output: NDArray[np.float32] = self._session.run(["probability"], {"frame": tensor})[0]
        return output


def onnxruntime_way(providers: list[Any]) -> Way:
    """ONNX Runtime with these providers, the best first."""
    return Way("onnxruntime", f"onnxruntime {onnxruntime.__version__}", "float32", partial(OnnxRuntimeSession, providers=providers))
