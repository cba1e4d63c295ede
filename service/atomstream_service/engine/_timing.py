"""How long frames take, stage by stage."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np

STAGES = ("queue", "preprocess", "infer", "locate", "total")
BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_RECENT = 1000
_RATE_WINDOW_S = 10.0


class Timing:
    """Histograms since the start and percentiles of the last thousand frames; safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._recent: dict[str, deque[float]] = {stage: deque(maxlen=_RECENT) for stage in STAGES}
        self._buckets = {stage: [0] * (len(BUCKETS_S) + 1) for stage in STAGES}
        self._sum_s = dict.fromkeys(STAGES, 0.0)
        self._done: deque[float] = deque(maxlen=20 * _RECENT)
        self._born = time.monotonic()

    def add(self, latency_ms: Mapping[str, float]) -> None:
        """Note one answered frame."""
        with self._lock:
            self._done.append(time.monotonic())
            for stage in STAGES:
                ms = latency_ms[stage]
                self._recent[stage].append(ms)
                self._buckets[stage][bisect_left(BUCKETS_S, ms / 1000)] += 1
                self._sum_s[stage] += ms / 1000

    def summary(self) -> dict[str, Any]:
        """Percentiles in ms, frames per second over the last ten seconds, and the histograms."""
        with self._lock:
            recent = {stage: np.array(values) for stage, values in self._recent.items()}
            histogram = {stage: {"buckets": list(self._buckets[stage]), "sum_s": self._sum_s[stage]} for stage in STAGES}
            now = time.monotonic()
            window = min(_RATE_WINDOW_S, now - self._born)
            rate = sum(t > now - window for t in self._done) / window if window > 0 else 0.0
        percentiles = {
            stage: {name: round(float(np.percentile(values, q)), 3) for name, q in (("p50", 50), ("p95", 95), ("p99", 99))} if len(values) else None
            for stage, values in recent.items()
        }
        return {"latency_ms": percentiles, "frames_per_s": rate, "histogram": {"bounds_s": BUCKETS_S, "stages": histogram}}
