"""What this machine can do at best."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atomstream_models.runtime import Way, gpu_copy_gb_s, processors

from ._probe import on_gpu, product_gflops

_SIDE = 1536
_COPY = 1 << 27
_ROUNDS = 5


@dataclass(frozen=True)
class Limits:
    """The best of some runs, with all processors.

    numpy_gflops : float32 matrix product in numpy, 10^9 operations a second
    product_gflops : matrix products run as members are in each way
    copy_gb_s : bytes read and written while copying within the machine's main memory, 10^9 a second
    gpu_copy_gb_s : the same within the memory of its GPUs, of all together; None where there is none
    """

    numpy_gflops: float
    product_gflops: Mapping[Way, float]
    copy_gb_s: float
    gpu_copy_gb_s: float | None = None

    def gflops(self, way: Way) -> float:
        """The fastest matrix product that was seen on this way's device with numbers of as many bits."""
        seen = [gflops for other, gflops in self.product_gflops.items() if (on_gpu(other), other.bits) == (on_gpu(way), way.bits)]
        return max([*seen, *([self.numpy_gflops] if way.bits == "float32" and not on_gpu(way) else [])])

    def copied_gb_s(self, way: Way) -> float | None:
        """How fast the memory is copied in which this way's members work."""
        return self.gpu_copy_gb_s if on_gpu(way) else self.copy_gb_s

    def at_best(self, other: Limits) -> Limits:
        """The better figures of the same machine at two moments, at one of which it may have been busy."""
        products = {way: max(gflops, other.product_gflops[way]) for way, gflops in self.product_gflops.items()}
        copied = [one.gpu_copy_gb_s for one in (self, other) if one.gpu_copy_gb_s is not None]
        return Limits(max(self.numpy_gflops, other.numpy_gflops), products, max(self.copy_gb_s, other.copy_gb_s), max(copied, default=None))

    def as_json(self) -> dict[str, Any]:
        return {
            "numpy_gflops": self.numpy_gflops,
            "copy_gb_s": self.copy_gb_s,
            "gpu_copy_gb_s": self.gpu_copy_gb_s,
            "product_gflops": {str(way): gflops for way, gflops in self.product_gflops.items()},
        }


def measure_limits(ways: Sequence[Way]) -> Limits:
    """Multiply matrices, in numpy and in each of the ways, and copy an array, a few times each."""
    a = np.random.default_rng(0).standard_normal((_SIDE, _SIDE), np.float32)
    out = np.empty_like(a)
    product_s = _best_s(lambda: np.matmul(a, a, out=out))
    on_gpus = gpu_copy_gb_s() if any(map(on_gpu, ways)) else None
    return Limits(2 * _SIDE**3 / product_s / 1e9, {way: product_gflops(way) for way in ways}, _copy_gb_s(), on_gpus)


def _copy_gb_s() -> float:
    """One processor alone may not fill the memory's lines, so each copies its share."""
    sources, targets = (np.array_split(np.full(_COPY // 4, value, np.float32), processors()) for value in (0, 1))

    def copied(source: NDArray[np.float32], target: NDArray[np.float32]) -> None:
        np.copyto(target, source)

    with ThreadPoolExecutor(processors()) as pool:
        return 2 * _COPY / _best_s(lambda: list(pool.map(copied, sources, targets))) / 1e9


def _best_s(work: Callable[[], object]) -> float:
    took = []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        work()
        took.append(time.perf_counter() - start)
    return min(took)
