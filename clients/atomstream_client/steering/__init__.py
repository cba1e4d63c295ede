"""For programs that put the beam on atoms: where these will be, and which of them to trust.

    SpecimenDrift  how the specimen moves, measured from its own atoms, and how far that can be foretold
    doubts         what speaks against each atom of a result
    surest         the atoms of a class, the surest first

Needs numpy alone and knows no instrument; places are (y, x) in nm.
"""

from ._doubt import doubts, surest
from ._drift import DriftUnclear, SpecimenDrift

__all__ = ["DriftUnclear", "SpecimenDrift", "doubts", "surest"]
