"""Units of length as microscopes and ImageJ write them."""

from __future__ import annotations

_NM = {"pm": 1e-3, "angstrom": 0.1, "å": 0.1, r"\u00c5": 0.1, "nm": 1.0, "um": 1e3, "µm": 1e3, "μm": 1e3, r"\u00b5m": 1e3, "micron": 1e3, "microns": 1e3}
"""In nm, in small letters; ImageJ writes letters beyond ASCII as Java does."""


def nm_per(unit: str) -> float | None:
    """How many nm a unit is; None where it is no length that we know."""
    return _NM.get(unit.lower())
