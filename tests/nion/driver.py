"""Run by the tests under Nion's own Python: Nion's simulated microscope, our plug-in, and what was done with the scan, as one JSON object.

driver.py SCENARIO FRAMES RESULTS
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from atomstream_client import Atoms, EnsembleState, FramePublisher, FrameReport
from nionswift_plugin.atomstream import AtomsItem, Counts, Plugin, ScanFrame, ScanGeometry, ScanStreamer, Settings
from simulated_instrument import scan_settings, simulated_instrument
from simulated_specimen import LatticeSpecimen

SOURCE = "nion/usim_scan_device"
_LONG_S = 30.0


class Breaking(LatticeSpecimen):
    """A specimen with which an acquisition can be made to fail."""

    broken = False

    def generate_scan_data(self, instrument: Any, parameters: Any) -> Any:
        if self.broken:
            raise RuntimeError("the scan device has failed")
        return super().generate_scan_data(instrument, parameters)


class Seen:
    """What Swift itself announced, in the order of the scans: their frame_index, whether aborted, and a checksum of each channel."""

    def __init__(self, scan: Any, idle: Callable[[], None] = lambda: None) -> None:
        self.scans: list[dict[str, Any]] = []
        self._idle = idle
        self._scan = scan
        self._listener = scan.xdatas_available_event.listen(self._ended)

    def _ended(self, promises: Any) -> None:
        xdatas = [promise.xdata for promise in promises]
        metadata = xdatas[0].metadata
        self.scans.append(
            {
                "frame_index": metadata["hardware_source"]["frame_index"],
                "scan_id": metadata["scan"]["scan_id"],
                "claims_rows": metadata["hardware_source"]["valid_rows"],
                "fov_nm": metadata["scan"]["fov_nm"],
                "offsets": [one.offset for one in xdatas[0].dimensional_calibrations],
                "aborted": self._scan.is_aborted,
                "zero_rows": int((xdatas[0].data == 0).all(axis=1).sum()),
                "sha256": {one.metadata["hardware_source"]["channel_id"]: hashlib.sha256(one.data.tobytes()).hexdigest() for one in xdatas},
            }
        )

    def wait(self, more: int) -> None:
        goal, deadline = len(self.scans) + more, time.monotonic() + _LONG_S
        while len(self.scans) < goal:
            assert time.monotonic() < deadline, f"{len(self.scans)} of {goal} scans"
            self._idle()
            time.sleep(0.005)


@contextlib.contextmanager
def playing(scan: Any) -> Iterator[None]:
    scan.start_playing()
    yield
    scan.stop_playing(sync_timeout=_LONG_S)


def phases(scan: Any, seen: Seen, each: int) -> dict[str, Any]:
    """The scan runs and is changed while it does, then it is aborted twice; what is sought is in the frames that the service gets."""
    # A change holds from one of the next frames on; which one is known by what the frames say of themselves.
    scan_settings(scan, pixel_size=(256, 256), fov_nm=3.0, pixel_time_us=1.0, enabled_channel_indexes=[0, 1])
    with playing(scan):
        seen.wait(each)
        scan_settings(scan, fov_nm=5.0)
        seen.wait(each)
        scan_settings(scan, fov_nm=3.0, rotation_rad=0.4)
        seen.wait(each)
        scan_settings(scan, pixel_size=(512, 512), fov_nm=6.0, subscan=((0.5, 0.375), (0.25, 0.5)))
        seen.wait(each)
        scan_settings(scan, pixel_size=(192, 256), fov_nm=3.0, rotation_rad=0.0, center_nm=(0.7, -0.4))
        seen.wait(each)
        scan_settings(scan, pixel_time_us=3.0)
        seen.wait(2)
    return {"aborted": [abort(scan, seen, (192, 256), 12.0, 40), abort(scan, seen, (24, 16), 20_000.0, 5)]}


def start(scan: Any, rows: int) -> None:
    """Start a scan and wait until some of its rows have come."""
    there = threading.Event()

    def rows_came(channel: Any, xdata: Any) -> None:
        if channel.state == "partial" and xdata.metadata["hardware_source"]["valid_rows"] >= rows:
            there.set()

    with contextlib.closing(scan.data_channel_updated_event.listen(rows_came)):
        scan.start_playing()
        assert there.wait(_LONG_S)


def abort(scan: Any, seen: Seen, size: tuple[int, int], pixel_time_us: float, rows: int) -> dict[str, Any]:
    """Abort a scan once it has some rows; says whether Swift announced it at all."""
    scan_settings(scan, pixel_size=size, pixel_time_us=pixel_time_us)
    start(scan, rows)
    announced = len(seen.scans)
    time.sleep(0.02)
    scan.abort_playing(sync_timeout=_LONG_S)
    empty = scan.get_next_xdatas_to_finish(0.5) == []
    return {"announced": len(seen.scans) - announced, "next_is_empty": empty}


def aborts(scan: Any, seen: Seen) -> list[dict[str, Any]]:
    """Scans aborted until Swift has done both that it does then: say nothing, and call the scan complete. Which one is a matter of milliseconds."""
    tried: list[dict[str, Any]] = []
    for announced, size, pixel_time_us, rows in ((0, (48, 64), 300.0, 12), (1, (16, 8), 100_000.0, 1)):
        for _ in range(6):
            tried.append(abort(scan, seen, size, pixel_time_us, rows))
            if tried[-1]["announced"] == announced:
                break
    return tried


def traps(scan: Any, seen: Seen, specimen: Breaking) -> dict[str, Any]:
    """Everything that Swift does which a stream has to survive, on small frames."""
    marks: dict[str, Any] = {}

    def mark(name: str) -> None:
        marks[name] = len(seen.scans)

    scan_settings(scan, pixel_size=(48, 64), fov_nm=1.0, pixel_time_us=2.0, enabled_channel_indexes=[0, 1])
    for name in ("first start", "second start"):
        mark(name)
        with playing(scan):
            seen.wait(2)
    mark("fov change")
    with playing(scan):
        seen.wait(1)
        scan_settings(scan, fov_nm=0.5)
        seen.wait(3)
        mark("subscan")
        scan_settings(scan, pixel_size=(128, 128), fov_nm=6.0, rotation_rad=0.3, subscan=((0.5, 0.375), (0.25, 0.5)), subscan_rotation_rad=0.1)
        seen.wait(3)
    scan_settings(scan, pixel_size=(48, 64), fov_nm=1.0, rotation_rad=0.0)
    mark("failure")
    specimen.broken = True
    scan.start_playing()
    marks["after failure"] = scan.get_next_xdatas_to_finish(5.0)
    while scan.is_playing:
        time.sleep(0.01)
    specimen.broken = False
    mark("after")
    with playing(scan):
        seen.wait(1)
    mark("suspended")
    scan_settings(scan, pixel_time_us=200.0)
    start(scan, 10)
    record = scan.get_frame_parameters(2)
    record.pixel_size, record.fov_nm, record.pixel_time_us = (32, 40), 1.0, 2.0
    scan.record_immediate(record)
    scan.stop_playing(sync_timeout=_LONG_S)
    mark("aborts")
    marks["aborted"] = aborts(scan, seen)
    return marks


@contextlib.contextmanager
def document() -> Iterator[tuple[Any, Callable[[], None]]]:
    """Swift's API with a document in memory, and what Swift's windows do all the time."""
    from nion.swift import Facade  # noqa: PLC0415
    from nion.swift.test import TestContext  # noqa: PLC0415

    Facade.initialize()
    setup = TestContext.TestSetup(set_global=True)
    with TestContext.create_memory_context() as context:
        controller = context.create_document_controller_with_application()
        yield Facade.get_api("~1.0"), controller.periodic
    del setup


def switched() -> dict[str, Any]:
    """Atoms come while one project is open, while it is closed, while none is open, and in the next one."""
    from nion.swift import Facade  # noqa: PLC0415
    from nion.swift.test import TestContext  # noqa: PLC0415

    image = np.random.default_rng(0).normal(size=(48, 64)).astype(np.float32)
    state = EnsembleState("graphene", "1", "ab", 1)
    report = FrameReport("s", 0, SOURCE, "HAADF", image.shape, state, ("m00",), 1, ("host",), 0.0, 1.0)
    answer = Atoms(report, np.empty((0, 10), np.float32)), ScanFrame({"HAADF": image}, {}, ScanGeometry(image.shape, (0.01, 0.01))), Counts()
    Facade.initialize()
    setup = TestContext.TestSetup(set_global=True)
    api = Facade.get_api("~1.0")
    searched: list[Any] = []

    class Library:
        """Swift's, and how often all its items were gone through."""

        def __getattr__(self, name: str) -> Any:
            if name == "data_items":
                searched.append(name)
            return getattr(api.library, name)

    item = AtomsItem(SimpleNamespace(library=Library(), queue_task=api.queue_task))
    titles: list[list[str]] = []
    for _ in range(2):
        with TestContext.create_memory_context() as context:
            window = setup.app.create_document_controller(context.create_document_model(auto_close=False), "library")
            for _ in range(5):
                item.show(*answer)
                window.periodic()
            titles.append([one.title for one in api.library.data_items])
            item.show(*answer)
            window.close()
            item.show(*answer)
    return {"titles": titles, "searched": len(searched)}


def streamed(scenario: str, frames: str, results: str) -> dict[str, Any]:
    specimen = Breaking()
    with contextlib.ExitStack() as stack:
        api, periodic = stack.enter_context(document()) if scenario == "phases" else (None, lambda: None)
        _, scan = stack.enter_context(simulated_instrument(specimen))
        plugin = Plugin(Settings(frames, results), None if api is None else lambda: AtomsItem(api))
        stack.callback(plugin.close)
        assert plugin.wait_for_service()
        seen = Seen(scan, periodic)
        unheard = stack.enter_context(FramePublisher("nion/unheard", "tcp://127.0.0.1:9"))
        lonely = stack.enter_context(ScanStreamer(scan, unheard))
        begun = time.perf_counter()
        said = phases(scan, seen, 12) if scenario == "phases" else traps(scan, seen, specimen)
        said["seconds"] = time.perf_counter() - begun
        time.sleep(2.0 if api else 0.2)  # the last frame's atoms are on their way
        periodic()
        said["items"] = [described(one) for one in api.library.data_items if one.title.startswith("Atoms")] if api else []
        said["unheard"] = counted(lonely.counts)
        said["counts"] = {source: counted(counts) for source, counts in plugin.counts.items()}
        said["scans"] = seen.scans
    return said


def described(item: Any) -> dict[str, Any]:
    data = item.data
    return {
        "title": item.title,
        "shape": list(data.shape),
        "dtype": str(data.dtype),
        "coloured": int((np.ptp(data.astype(int), axis=2) > 0).sum()),
        "scale_nm": [one.scale for one in item.dimensional_calibrations if one.units == "nm"],
        "about": item.metadata["atomstream"],
    }


def counted(counts: Any) -> dict[str, int]:
    return {"scans": counts.scans, "sent": counts.sent, "dropped": counts.dropped, "failed": counts.failed, "cut_short": counts.cut_short}


def builtin(frames: str) -> dict[str, Any]:
    """Nion's own specimen and whole simulated microscope, with its cameras."""
    import tempfile  # noqa: PLC0415

    from nion.instrumentation import DriftTracker, HardwareSource, scan_base  # noqa: PLC0415
    from nion.usim_device import DeviceConfiguration  # noqa: PLC0415
    from nion.utils import Registry  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        HardwareSource.run()
        DriftTracker.run()
        scan_base.run(Path(folder))
        whole = DeviceConfiguration.AcquisitionContextConfiguration(sample_index=2, set_configuration_location=False)
        plugin = Plugin(Settings(frames))  # before there is any scan device
        Registry.register_component(whole.instrument, {"instrument_controller", "stem_controller"})
        Registry.register_component(whole.scan_module, {"scan_module"})
        scan = HardwareSource.HardwareSourceManager().get_hardware_source_for_hardware_source_id("usim_scan_device")
        assert plugin.wait_for_service()
        seen = Seen(scan)
        # The same place seen in four ways, one after the other.
        for settings in (
            {"pixel_size": (192, 192), "fov_nm": 300.0, "pixel_time_us": 1.0},
            {"fov_nm": 120.0, "center_nm": (30.0, -20.0)},
            {"rotation_rad": 0.5},
            {"pixel_size": (256, 256), "fov_nm": 160.0, "subscan": ((0.6, 0.4), (0.5, 0.25)), "subscan_rotation_rad": 0.2},
        ):
            scan_settings(scan, **settings)
            with playing(scan):
                seen.wait(1)
        said = {"counts": {source: counted(counts) for source, counts in plugin.counts.items()}, "scans": seen.scans}
        plugin.close()
        threads = {thread.name for thread in threading.enumerate() if not thread.daemon}
        # These would keep the process from ending.
        whole.ronchigram_camera_device.close()
        whole.eels_camera_device.close()
    return {**said, "threads": sorted(threads)}


def recorded(frames: str) -> dict[str, Any]:
    """A view that is aborted, then a scan that is recorded to its end, as programs do; Swift goes on to say that it was aborted."""
    with simulated_instrument(LatticeSpecimen()) as (_, scan):
        plugin = Plugin(Settings(frames))
        assert plugin.wait_for_service()
        seen = Seen(scan)
        abort(scan, seen, (48, 64), 300.0, 12)
        settings = scan.get_current_frame_parameters()
        settings.pixel_size, settings.pixel_time_us = (64, 48), 100.0
        image = scan.record_immediate(settings)[0].data
        said = {"still_aborted": scan.is_aborted, "recorded": hashlib.sha256(image.tobytes()).hexdigest()}
        time.sleep(0.2)
        plugin.close()
    return said


def script(frames: str, results: str) -> dict[str, Any]:
    """What Swift's Run Script window does with our script."""
    file = Path(sys.modules["simulated_instrument"].__file__ or "").with_name("stream_once.py")
    lines: list[str] = []
    broker = SimpleNamespace(get_interactive=lambda version: SimpleNamespace(cancelled=False))
    names: dict[str, Any] = {"__name__": "script", "print": lines.append}
    with simulated_instrument(LatticeSpecimen()) as (_, scan):
        scan_settings(scan, pixel_size=(128, 160), fov_nm=1.6, pixel_time_us=2.0)
        exec(compile(file.read_text(encoding="utf-8"), str(file), "exec"), names)
        names["SETTINGS"], names["SCANS"] = Settings(frames, results), 3
        with playing(scan):
            names["script_main"](broker)
    return {"lines": lines}


def loaded(frames: str, results: str) -> dict[str, Any]:
    """Swift's own loader with all plug-ins that are installed: Nion's instrumentation kit, its simulated microscope, ours."""
    import tempfile  # noqa: PLC0415

    from nion.instrumentation import HardwareSource  # noqa: PLC0415
    from nion.swift.model import PlugInManager  # noqa: PLC0415
    from nion.utils import Registry  # noqa: PLC0415

    with document() as (api, _), tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "atomstream-nion.toml"
        settings.write_text(f'frames = "{frames}"\nresults = "{results}"\n', encoding="utf-8")
        os.environ["ATOMSTREAM_NION"] = str(settings)
        # What Swift does before it loads plug-ins, where it has windows.
        application = api.application._application
        application._initialize_event_loop()
        application.ui.get_configuration_location = lambda: folder
        PlugInManager.load_plug_ins("", folder, None)
        module = sys.modules["nionswift_plugin.atomstream"]
        (plugin,) = module._running
        assert plugin.wait_for_service()
        scan = HardwareSource.HardwareSourceManager().get_hardware_source_for_hardware_source_id("usim_scan_device")
        seen = Seen(scan)
        with playing(scan):
            seen.wait(1)
        said: dict[str, Any] = {"file": module.__file__, "scans": seen.scans}
        said["counts"] = {source: counted(counts) for source, counts in plugin.counts.items()}
        PlugInManager.unload_plug_ins()
        for cameras in Registry.get_components_by_type("camera_module"):
            cameras.camera_device.close()
        said["left"] = len(module._running)
    return said


def main(scenario: str, frames: str = "", results: str = "") -> None:
    if scenario == "builtin":
        said = builtin(frames)
    elif scenario == "recorded":
        said = recorded(frames)
    elif scenario == "switched":
        said = switched()
    elif scenario == "script":
        said = script(frames, results)
    elif scenario == "loaded":
        said = loaded(frames, results)
    else:
        said = streamed(scenario, frames, results)
    print(json.dumps({**said, "ours": sorted(name for name in sys.modules if name.startswith("atomstream_") and "." not in name)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
