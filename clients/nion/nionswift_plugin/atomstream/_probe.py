"""From places in nm to where Nion's beam is parked, and from rows to when they were scanned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._geometry import ScanGeometry


def context_geometry(context: Any) -> ScanGeometry:
    """Where the scan lies that probe positions are shares of: the whole scan that is set now, whatever part of it or earlier scan a frame came from.

    context : Nion's `scan_context`, with size, center_nm, fov_nm (of the longer side) and rotation_rad

    Raises
    ------
    ValueError
        where nothing has been scanned yet, and Nion knows of no context.
    """
    if not context.size or context.fov_nm is None:
        raise ValueError(f"Nion's scan context has no size or field of view: {context!r}")
    rows, columns = (int(side) for side in tuple(context.size))
    pixel = float(context.fov_nm) / max(rows, columns)
    y, x = tuple(context.center_nm or (0.0, 0.0))
    return ScanGeometry((rows, columns), (pixel, pixel), (float(y), float(x)), float(context.rotation_rad or 0.0))


def to_shares(context: ScanGeometry, yx_nm: NDArray[Any]) -> NDArray[np.float64]:
    """Probe positions (y, x), shape (N, 2), of places in nm: shares of the context's sides from its top left corner. Outside it they are below 0 or above 1,
    and Nion would move them to its edge without a word."""
    return np.asarray((context.to_px(yx_nm) + 0.5) / context.shape)


def to_place_nm(context: ScanGeometry, shares: NDArray[Any]) -> NDArray[np.float64]:
    """Places in nm of probe positions: the inverse of `to_shares`."""
    return context.to_nm(np.asarray(shares, np.float64) * context.shape - 0.5)


def scanned_s(t_end: float, vendor: Mapping[str, Any], rows_px: NDArray[Any]) -> NDArray[np.float64]:
    """When the beam was at rows of a frame, seconds since the epoch, shape (N,).

    The specimen drifts while it is scanned, too: in a scan of half a second, its first row is half a second older than its last.

    t_end, vendor : of the result
    rows_px : y of positions in the frame
    """
    line_us = float(vendor["nion"]["hardware_source"].get("line_time_us", 0.0))
    rows = int(vendor["geometry"]["shape"][0])
    return np.asarray(t_end - 1e-6 * line_us * (rows - 0.5 - np.asarray(rows_px, np.float64)))
