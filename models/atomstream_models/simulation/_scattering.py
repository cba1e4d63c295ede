"""How brightly atoms and atom columns scatter into an annular dark-field detector."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError

Z_EXPONENT = 1.7
"""Intensity grows as about this power of the atomic number (Krivanek et al. 2010, doi 10.1038/nature08879, fitted 1.64; Rutherford: 2)."""


def brightness_of(numbers: ArrayLike, reference: float, exponent: float = Z_EXPONENT) -> NDArray[np.float64]:
    """Intensity of atoms relative to a reference atom: (Z / reference) ** exponent, the shape of `numbers`.

    numbers : atomic numbers; a fraction is the mean of a random mixture
    reference : atomic number of the host atom, whose brightness is 1

    Raises `InputError` for an atomic number that is not positive.
    """
    z = np.asarray(numbers, np.float64)
    if not (np.all(z > 0) and reference > 0):
        raise InputError(f"atomic numbers must be positive, got {z.tolist()} against {reference}")
    brightness: NDArray[np.float64] = (z / reference) ** exponent
    return brightness


def column_brightness(contents: dict[int, float], exponent: float = Z_EXPONENT) -> float:
    """Intensity of a column per repeat, on an absolute scale where hydrogen is 1: the sum of amount times Z ** exponent.

    contents : atomic number -> atoms of it in one repeat, fractions for a mixed site
    """
    return float(sum(amount * brightness_of(z, 1.0, exponent) for z, amount in contents.items()))
