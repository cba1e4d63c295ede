"""The closed loop against Nion's simulated microscope, where it is known how far beside its atom the beam is.

Needs Nion's packages (clients/nion/README.md), a service that runs, and `PYTHONPATH=clients:clients/nion`. Ctrl+C ends it.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from closed_loop import Plan, Stopped, Visit, closed_loop
from nionswift_plugin.atomstream import Settings
from simulated_instrument import scan_settings, simulated_instrument
from simulated_specimen import LatticeSpecimen


class DriftingSpecimen(LatticeSpecimen):
    """A sheet that drifts, never quite steadily, and is drawn as a scan sees it: each row as it is when the beam is there.

    speed_nm_s : of the drift; it swings by a third of that within 12 seconds
    """

    def __init__(self, speed_nm_s: float, **settings: Any) -> None:
        self._speed = speed_nm_s
        self._scanned_s: NDArray[np.float64] | None = None
        super().__init__(**settings)

    def moved_at(self, t: float) -> NDArray[np.float64]:
        """How far (y, x) it has drifted at a time."""
        seconds, turn = t - self._born, 2 * math.pi / 12
        along = self._speed * (seconds + math.sin(turn * seconds) / (3 * turn))
        return along * np.array([0.8, -0.6])

    def moved_nm(self) -> NDArray[np.float64]:
        if self._scanned_s is None:
            return self.moved_at(self._clock())
        return np.array([self.moved_at(t) for t in self._scanned_s])

    def generate_scan_data(self, instrument: Any, parameters: Any) -> NDArray[np.float32]:
        rows, columns = (int(side) for side in tuple(parameters.size))
        pixel_nm = parameters.fov_nm / max(rows, columns)
        cos, sin = math.cos(parameters.rotation_rad), math.sin(parameters.rotation_rad)
        begun, line_s = self._clock(), 1e-6 * parameters.pixel_time_us * columns
        self._scanned_s = np.full(len(self.atoms_nm), begun)
        for _ in range(3):  # an atom that drifts along the scan is met later
            away = self.atoms_nm + self.moved_nm() - np.array(tuple(parameters.center_nm))
            row = away @ np.array([cos, -sin]) / pixel_nm + (rows - 1) / 2
            self._scanned_s = begun + line_s * np.clip(row + 0.5, 0, rows)
        try:
            return super().generate_scan_data(instrument, parameters)
        finally:
            self._scanned_s = None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", default="tcp://127.0.0.1:5555")
    parser.add_argument("--results", default="tcp://127.0.0.1:5556")
    parser.add_argument("--http", default="http://127.0.0.1:8000")
    parser.add_argument("--token", help="of an operator, where the service asks for one")
    parser.add_argument("--visits", type=int, default=50)
    parser.add_argument("--drift", type=float, default=0.05, help="nm/s")
    parser.add_argument("--tolerance", type=float, default=Plan.tolerance_nm, help="nm")
    parser.add_argument("--answer", type=float, default=Plan.answer_s, help="seconds to wait for a frame's atoms")
    wanted = parser.parse_args()
    specimen = DriftingSpecimen(wanted.drift, seed=4, impurities=0.03, clock=time.time)
    atoms = specimen.atoms_nm[specimen.impurity]
    errors: dict[str, list[float]] = {"corrected": [], "expected": [], "newest frame": [], "first frame": []}
    with simulated_instrument(specimen) as (_, scan):
        # A sub-scan of a scan that is turned and not centred.
        scan_settings(scan, pixel_size=(512, 512), fov_nm=7.0, rotation_rad=0.4, center_nm=(0.5, -0.3), pixel_time_us=2.0, subscan=((0.5, 0.45), (0.5, 0.5)))

        def watch(visit: Visit) -> None:
            """Where the beam is, by Nion's own numbers, and where the atom is."""
            now, context = time.time(), scan.scan_context
            y, x = ((share - 0.5) * context.fov_nm for share in tuple(scan.probe_position))
            cos, sin = math.cos(context.rotation_rad), math.sin(context.rotation_rad)
            beam = np.array([cos * y + sin * x, -sin * y + cos * x]) + np.array(tuple(context.center_nm))
            seen = atoms + specimen.moved_at(visit.target.seen_s)
            atom = atoms[np.hypot(*(seen - visit.target.seen_nm).T).argmin()] + specimen.moved_at(now)
            for name, place in (("corrected", beam), ("newest frame", visit.target.seen_nm), ("first frame", visit.target.first_nm)):
                errors[name].append(float(np.hypot(*(place - atom))))
            errors["expected"].append(visit.error_nm)
            print(f"visit {visit.number}: {1000 * errors['corrected'][-1]:.0f} pm beside the atom", flush=True)

        begun, ended = time.monotonic(), ""
        plan = Plan(visits=wanted.visits, tolerance_nm=wanted.tolerance, answer_s=wanted.answer)
        with closed_loop(scan, Settings(wanted.frames, wanted.results), wanted.http, plan, watch, token=wanted.token) as loop:
            try:
                loop.run()
            except (Stopped, KeyboardInterrupt) as reason:
                ended = str(reason) or "Ctrl+C"
            at_rest = scan.probe_position is None
    said = {
        "ended": ended,
        "at_rest": at_rest,
        "seconds": time.monotonic() - begun,
        "frames": loop.frames,
        "drift_nm_s": [float(one) for one in loop.drift.velocity_nm_s],
        "errors_nm": errors,
    }
    print(json.dumps(said))


if __name__ == "__main__":
    main()
