"""Units of length as microscopes, ImageJ and HyperSpy write them."""

from __future__ import annotations

_NM = {
    "pm": 1e-3,
    **dict.fromkeys(("angstrom", "angstroms", "å", r"\u00c5", "a"), 0.1),
    "nm": 1.0,
    **dict.fromkeys(("um", "µm", "μm", r"\u00b5m", "micron", "microns"), 1e3),
    **dict.fromkeys(("m", "meters"), 1e9),
}
"""In nm, in small letters; ImageJ writes letters beyond ASCII as Java does."""


def nm_per(unit: str) -> float | None:
    """How many nm a unit is; None where it is no length that we know."""
    return _NM.get(unit.lower())


def pixel_size_in_nm(size: tuple[float, float] | None, unit: str) -> tuple[float, float] | None:
    """A pixel size in nm; None where it is unknown or its unit is no length that we know."""
    factor = nm_per(unit)
    return None if size is None or factor is None else (size[0] * factor, size[1] * factor)
