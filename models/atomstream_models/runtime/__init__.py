"""Running bundles with ONNX Runtime or OpenVINO, which nothing outside this folder imports."""

from ._accept import EXACT, FAST, GoldenMatch, Tolerance, accept, golden_matches
from ._choice import Choice, Tried
from ._device import Device, RuntimeReport, processors, runtime_report
from ._ensemble import TILE_PIXELS, LoadedEnsemble, load_ensemble, load_in
from ._golden import golden_of
from ._gpus import gpu_copy_gb_s
from ._loader import Loader, ways_here
from ._look import Shown, look, look_at_all
from ._promotion import Promotion, Size
from ._races import Races
from ._strips import open_strips
from ._tensorrt import tensorrt_missing, tensorrt_upgrade
from ._upgrade import Upgrade
from ._ways import LoadError, Members, Precision, Runtime, Way

__all__ = [
    "EXACT",
    "FAST",
    "TILE_PIXELS",
    "Choice",
    "Device",
    "GoldenMatch",
    "LoadError",
    "LoadedEnsemble",
    "Loader",
    "Members",
    "Precision",
    "Promotion",
    "Races",
    "Runtime",
    "RuntimeReport",
    "Shown",
    "Size",
    "Tolerance",
    "Tried",
    "Upgrade",
    "Way",
    "accept",
    "golden_matches",
    "golden_of",
    "gpu_copy_gb_s",
    "load_ensemble",
    "load_in",
    "look",
    "look_at_all",
    "open_strips",
    "processors",
    "runtime_report",
    "tensorrt_missing",
    "tensorrt_upgrade",
    "ways_here",
]
