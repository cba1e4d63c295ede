"""Running bundles with ONNX Runtime, which nothing outside this folder imports."""

from ._accept import GoldenMatch, Tolerance, accept, golden_matches
from ._device import Device, RuntimeReport, processors, runtime_report
from ._ensemble import LoadedEnsemble, LoadError, load_ensemble
from ._golden import golden_of
from ._look import look

__all__ = [
    "Device",
    "GoldenMatch",
    "LoadError",
    "LoadedEnsemble",
    "RuntimeReport",
    "Tolerance",
    "accept",
    "golden_matches",
    "golden_of",
    "load_ensemble",
    "look",
    "processors",
    "runtime_report",
]
