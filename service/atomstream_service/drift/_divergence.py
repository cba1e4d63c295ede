"""How far two probability maps are apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_LEAST = np.float32(1e-6)


def entropy_bits(p: NDArray[np.float32]) -> NDArray[np.float32]:
    """Entropy of a yes or no of probability p, in bits, shape of p."""
    p = np.clip(p, _LEAST, 1 - _LEAST)
    q = 1 - p
    out: NDArray[np.float32] = -(p * np.log2(p) + q * np.log2(q))
    return out


def divergence(one: NDArray[np.float32], other: NDArray[np.float32], inside: NDArray[np.bool_]) -> float:
    """Mean Jensen-Shannon divergence of two maps in bits, 0 to 1 (Lin 1991, doi 10.1109/18.61115); 0 where nothing is inside.

    Each class is a yes or no of its own, since the members of a bundle may end in sigmoids, whose classes need not sum to one; the
    classes' divergences are averaged.

    one, other : ndarrays, shape (classes, pixels)
    inside : ndarray, shape (pixels,), where to compare
    """
    if not inside.any():
        return 0.0
    p, q = one[:, inside], other[:, inside]
    mixed = entropy_bits((p + q) * np.float32(0.5)) - (entropy_bits(p) + entropy_bits(q)) * np.float32(0.5)
    return max(0.0, float(mixed.mean(dtype=np.float64)))
