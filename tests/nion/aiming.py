"""Run by the tests under Nion's own Python: for some impurities, how far from the middle each is in a sub-scan that Nion centres where the beam would be put.

Nion works out for itself where in the specimen such a sub-scan lies.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from nionswift_plugin.atomstream import context_geometry, to_shares
from simulated_instrument import scan_settings, simulated_instrument
from simulated_specimen import LatticeSpecimen

SIZE = 1 / 32
"""So small that no other impurity is in it."""
SCANS: dict[str, dict[str, Any]] = {
    "plain": {"pixel_size": (1024, 1024), "rotation_rad": 0.0, "center_nm": (0.0, 0.0)},
    "turned": {"pixel_size": (1024, 1024), "rotation_rad": 0.7, "center_nm": (0.0, 0.0)},
    "turned and moved": {"pixel_size": (1024, 1024), "rotation_rad": -2.0, "center_nm": (0.8, -1.1)},
    "wide": {"pixel_size": (512, 1024), "rotation_rad": 0.0, "center_nm": (0.8, -1.1)},
}


def main() -> None:
    specimen = LatticeSpecimen(impurities=0.02)
    said: dict[str, list[float]] = {}
    with simulated_instrument(specimen) as (_, scan):
        for name, changed in SCANS.items():
            scan_settings(scan, subscan=None, fov_nm=8.0, pixel_time_us=2.0, **changed)
            context = context_geometry(scan.scan_context)
            shares = to_shares(context, specimen.atoms_nm[specimen.impurity])
            inside = shares[((shares > 0.1) & (shares < 0.9)).all(axis=1)][:4]
            for y, x in inside:
                scan_settings(scan, subscan=((float(y), float(x)), (SIZE, SIZE)))
                settings = scan.get_current_frame_parameters()
                scan.apply_scan_context_subscan(settings)
                image = gaussian_filter(scan.record_immediate(settings)[0].data, 2)
                brightest = np.unravel_index(image.argmax(), image.shape)
                said.setdefault(name, []).append(float(np.hypot(*(np.array(brightest) - (np.array(image.shape) - 1) / 2)) * context.pixel_size_nm[0]))
    print(json.dumps(said))


if __name__ == "__main__":
    main()
