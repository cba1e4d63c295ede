"""Nion's simulated microscope without Swift's windows, with a specimen of one's own.

Needs Python 3.12 or later and `pip install nionswift nionswift-instrumentation nionswift-usim` (the first two are GPL-3.0: for tests and examples,
in an environment of their own).
"""

from __future__ import annotations

import contextlib
import pathlib
import tempfile
from collections.abc import Iterator
from typing import Any

SCAN_DEVICE = "usim_scan_device"

Subscan = tuple[tuple[float, float], tuple[float, float]]


@contextlib.contextmanager
def simulated_instrument(specimen: Any) -> Iterator[tuple[Any, Any]]:
    """usim's instrument and its scan hardware source, until the context ends.

    specimen : anything with `generate_scan_data(instrument, parameters)`, such as `LatticeSpecimen`
    """
    from nion.instrumentation import DriftTracker, HardwareSource, scan_base  # noqa: PLC0415 - GPL, and only where somebody has installed it
    from nion.usim_device import InstrumentDevice, ScanDevice  # noqa: PLC0415
    from nion.utils import Registry  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        HardwareSource.run()
        DriftTracker.run()
        scan_base.run(pathlib.Path(folder))
        instrument = InstrumentDevice.Instrument("usim_stem_controller", InstrumentDevice.ValueManager(), InstrumentDevice.AxisManager(), specimen)
        # usim's cameras are left out: their threads would keep the process from ending, and they know usim's own specimens only.
        module = ScanDevice.ScanModule(instrument)
        Registry.register_component(instrument, {"instrument_controller", "stem_controller"})
        Registry.register_component(module, {"scan_module"})
        scan = HardwareSource.HardwareSourceManager().get_hardware_source_for_hardware_source_id(SCAN_DEVICE)
        try:
            yield instrument, scan
        finally:
            scan.abort_playing(sync_timeout=5)
            Registry.unregister_component(module, {"scan_module"})
            Registry.unregister_component(instrument, {"instrument_controller", "stem_controller"})
            scan_base.stop()
            DriftTracker.stop()
            HardwareSource.stop()


def scan_settings(scan: Any, *, subscan: Subscan | None = None, subscan_rotation_rad: float = 0.0, **changed: Any) -> None:
    """Change a scan's settings, from its next frame on, also while it runs.

    subscan : ((centre y, x), (height, width)) in shares of the scan; None = the whole scan
    changed : pixel_size and center_nm as (y, x); fov_nm, of the longer side; rotation_rad; pixel_time_us; enabled_channel_indexes
    """
    from nion.utils import Geometry  # noqa: PLC0415

    kinds = {"pixel_size": Geometry.IntSize, "center_nm": Geometry.FloatPoint}
    parameters = scan.get_current_frame_parameters()
    for name, value in changed.items():
        setattr(parameters, name, kinds[name](*value) if name in kinds else value)
    scan.set_current_frame_parameters(parameters)
    if subscan is not None:
        (y, x), (height, width) = subscan
        scan.subscan_region = Geometry.FloatRect.from_tlhw(y - height / 2, x - width / 2, height, width)
        scan.subscan_rotation = subscan_rotation_rad
    scan.subscan_enabled = subscan is not None
