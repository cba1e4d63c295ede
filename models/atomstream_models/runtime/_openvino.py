"""Members on OpenVINO, which is optional; it reads the same ONNX files."""

from __future__ import annotations

import platform
import sys
from functools import cache, partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ._pooled import pooled
from ._ways import LoadError, Way

_HINTS = {"float32": "f32", "bfloat16": "bf16"}


class OpenVinoSession:
    """One member on OpenVINO, with one thread; frames of any shape run without being compiled anew."""

    shared = False

    def __init__(self, file: Path, bits: Literal["float32", "bfloat16"]) -> None:
        properties = {
            # Its own choice is bfloat16 where the processor has it, which would show in the std maps unasked.
            "INFERENCE_PRECISION_HINT": _HINTS[bits],
            "INFERENCE_NUM_THREADS": 1,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,
        }
        try:
            self._request = _core().compile_model(str(file), "CPU", properties).create_infer_request()
        except Exception as error:  # OpenVINO raises RuntimeError and types of its own
            raise LoadError(f"member {file.name} can't be loaded by OpenVINO: {error}") from error
        self.providers = ("OpenVINO CPU",)

    def run(self, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        output: NDArray[np.float32] = self._request.infer({"frame": tensor}, share_inputs=True)["probability"]
        return output


def openvino_ways(*, fast: bool) -> tuple[list[Way], str | None]:
    """OpenVINO's ways here, and why there are no more of them; none where it is not installed.

    fast : with bfloat16, where the processor computes with that
    """
    try:
        runtime = f"openvino {version('openvino')}"
        capabilities = _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    except (PackageNotFoundError, ImportError):
        return [], "openvino is not installed (extra `openvino`)"
    ways = [Way("openvino", runtime, "float32", pooled(partial(OpenVinoSession, bits="float32")))]
    if not fast:
        return ways, None
    if "BF16" not in capabilities:
        return ways, f"this processor ({platform.machine()}) does not compute with bfloat16"
    return [*ways, Way("openvino", runtime, "bfloat16", pooled(partial(OpenVinoSession, bits="bfloat16")))], None


@cache
def _core() -> Any:
    """OpenVINO's one core of this process; it is imported only where somebody asks for it, since that takes a while and it may not be there."""
    # At every import OpenVINO would start a process that tells its maker so over the internet, and keep a number for this user; with this package
    # out of reach it does neither.
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    openvino = import_module("openvino")
    # Where two threads make the process's first tensors at once, each waits for what the other holds, for ever: the binding makes ready for NumPy
    # under a lock, and lets go of the interpreter's meanwhile.
    openvino.Tensor(np.zeros(1, np.float32))
    return openvino.Core()
