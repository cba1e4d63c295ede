"""Run by the tests under Nion's own Python: what Swift's Run Script window does with the closed loop when its Cancel button is pressed after two seconds.

cancelled.py FRAMES RESULTS HTTP
"""

from __future__ import annotations

import json
import sys
import time
from types import SimpleNamespace

import closed_loop
from nionswift_plugin.atomstream import Settings
from simulated_instrument import scan_settings, simulated_instrument
from simulated_specimen import LatticeSpecimen


class Window:
    """Swift's interactive context."""

    def __init__(self) -> None:
        self._until = time.monotonic() + 2

    @property
    def cancelled(self) -> bool:
        return time.monotonic() > self._until


def main(frames: str, results: str, http: str) -> None:
    closed_loop.SETTINGS, closed_loop.SERVICE = Settings(frames, results), http
    lines: list[str] = []
    vars(closed_loop)["print"] = lines.append
    with simulated_instrument(LatticeSpecimen(impurities=0.03)) as (_, scan):
        scan_settings(scan, pixel_size=(256, 256), fov_nm=3.0, pixel_time_us=1.0)
        window = Window()
        closed_loop.script_main(SimpleNamespace(get_interactive=lambda version: window))
        scan.start_playing()
        closed_loop.script_main(SimpleNamespace(get_interactive=lambda version: Window()))
        at_rest = scan.probe_position is None
    print(json.dumps({"at_rest": at_rest, "lines": lines}))


if __name__ == "__main__":
    main(*sys.argv[1:])
