"""Running bundles with ONNX Runtime, which nothing outside this folder imports."""

from ._accept import Tolerance, accept
from ._device import Device, RuntimeReport, processors, runtime_report
from ._ensemble import LoadedEnsemble, LoadError, load_ensemble

__all__ = ["Device", "LoadError", "LoadedEnsemble", "RuntimeReport", "Tolerance", "accept", "load_ensemble", "processors", "runtime_report"]
