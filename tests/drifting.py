"""Scores of frames as the drift tests want them: calm by default, changed by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from atomstream_service.drift import DriftEvent, DriftMonitor, DriftSettings, FrameScores, FrameStatistics, MemberScores, ScanKey

SETTINGS = DriftSettings(window=40)
MEMBERS = tuple(f"m{k:02d}" for k in range(6))
SCAN = ScanKey((512, 512), (0.01, 0.01), (5.1, 5.1), 8.0, "HAADF", "nion")

Change = Callable[[int, FrameScores], FrameScores]


def frame(seq: int, members: Sequence[str] = MEMBERS) -> FrameScores:
    """Scores of a frame on which all is well, the same for each number."""
    rng = np.random.default_rng(seq)
    scores = {
        member: MemberScores(0.02 * float(np.exp(rng.normal(0, 0.1))) * (1 + 0.1 * k), float(rng.choice([0, 0.005, 0.01])), float(rng.choice([0, 0.005])))
        for k, member in enumerate(MEMBERS)
    }
    noise = rng.normal(0, 1, 5) * (10, 0.003, 0.004, 0.02, 0.01)
    statistics = FrameStatistics(*(float(a + b) for a, b in zip((1000, 0.3, 0.4, 4, 0), noise, strict=True)))
    spread = 0.02 * float(np.exp(rng.normal(0, 0.05)))
    return FrameScores(seq, {member: scores[member] for member in members}, {}, spread, 200, statistics)


def worse(scores: FrameScores, member: str, times: float) -> FrameScores:
    one = scores.members[member]
    bad = MemberScores(one.divergence * times, one.misplaced * times + 0.01 * times, one.count * times)
    return replace(scores, members={**scores.members, member: bad})


def all_worse(scores: FrameScores, times: float) -> FrameScores:
    return replace(scores, members={m: replace(one, divergence=one.divergence * times) for m, one in scores.members.items()}, spread=scores.spread * times)


def stream(monitor: DriftMonitor, frames: range, change: Change = lambda t, scores: scores, scan: ScanKey = SCAN) -> list[DriftEvent]:
    return [event for t in frames for event in monitor.observe(change(t, frame(t)), scan)]


def darker(scores: FrameScores, share: float) -> FrameScores:
    return replace(scores, statistics=replace(scores.statistics, level=scores.statistics.level * share))
