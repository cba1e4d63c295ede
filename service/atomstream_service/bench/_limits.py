"""What this machine can do at best."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_SIDE = 1536
_COPY = 1 << 27
_ROUNDS = 5


@dataclass(frozen=True)
class Limits:
    """The best of some runs, with all processors.

    gflops : float32 matrix product, 10^9 operations a second
    copy_gb_s : bytes read and written while copying, 10^9 a second
    """

    gflops: float
    copy_gb_s: float


def measure_limits() -> Limits:
    """Multiply two matrices and copy an array, a few times each."""
    a = np.random.default_rng(0).standard_normal((_SIDE, _SIDE), np.float32)
    out = np.empty_like(a)
    source, target = np.zeros(_COPY // 4, np.float32), np.ones(_COPY // 4, np.float32)
    product_s = _best_s(lambda: np.matmul(a, a, out=out))
    copy_s = _best_s(lambda: np.copyto(target, source))
    return Limits(2 * _SIDE**3 / product_s / 1e9, 2 * _COPY / copy_s / 1e9)


def _best_s(work: Callable[[], object]) -> float:
    took = []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        work()
        took.append(time.perf_counter() - start)
    return min(took)
