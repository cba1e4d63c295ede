"""An ensemble on the bench: it sees every Nth frame, and what it finds is compared with what the live one finds."""

from __future__ import annotations

import statistics
import threading
from collections import deque
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atomstream_models.analysis import Answer, finish, infer, prepare
from atomstream_models.lengths import pixel_size_in_nm
from atomstream_models.metrics import match
from atomstream_models.neighbours import neighbour_px
from atomstream_models.runtime import LoadedEnsemble

from ._beside import CandidateRun
from ._work import Finished, Job

_REMEMBERED = 100
_NEAR = 0.35
"""Two ensembles mean the same atom within this share of the distance between neighbours."""
_FALLBACK_PX = 3.0
_FOREGROUND = 0.05


@dataclass(frozen=True)
class Agreement:
    """One frame seen by both.

    f1 : agreement on where atoms are, 1 for all the same
    count_ratio : the candidate's atoms over the live ones; None where the live ensemble found none
    std, live_std : mean standard deviation between members where either sees something; None where unknown
    latency_ms, live_latency_ms : of running the members
    """

    f1: float
    count_ratio: float | None
    std: float | None
    live_std: float | None
    latency_ms: float
    live_latency_ms: float


class Candidate:
    """A loaded ensemble beside the live one, and how they agreed on the last frames.

    failure : why it could not answer a frame, the last time that it could not
    """

    def __init__(self, ensemble: LoadedEnsemble, max_pixels: int) -> None:
        self.ensemble = ensemble
        self.failure: str | None = None
        self._max_pixels = max_pixels
        self._lock = threading.Lock()
        self._failed = 0
        self._frames = 0
        self._seen: deque[Agreement] = deque(maxlen=_REMEMBERED)

    def run(self, job: Job, clock: Any) -> CandidateRun | None:
        """All its members on a frame; None, and the reason kept, where they can't. Called by the thread that owns all sessions.

        Whatever goes wrong with it is its own affair: the live ensemble must not end for it.
        """
        card = self.ensemble.card
        try:
            size = pixel_size_in_nm(job.frame.pixel_size, job.frame.pixel_unit)
            prepared = prepare(job.image, size, card, valid_rows=job.frame.valid_rows, max_pixels=self._max_pixels)
            start = clock()
            inferred = infer(prepared, card, card.member_ids, self.ensemble.answer)
        except Exception as error:
            self._note(error)
            return None
        return CandidateRun(card, inferred, 1000 * (clock() - start))

    def compare(self, live: Finished, run: CandidateRun) -> None:
        """Note how a frame's two answers agree; off the hot path."""
        try:
            agreement = agree(live.answer, finish(run.inferred, run.card), run.infer_ms, live.report.latency_ms["infer"])
        except Exception as error:
            self._note(error)
            return
        with self._lock:
            self._frames += 1
            self._seen.append(agreement)

    def _note(self, error: Exception) -> None:
        with self._lock:
            self.failure, self._failed = str(error) or type(error).__name__, self._failed + 1

    @property
    def about(self) -> dict[str, str]:
        """Its name, version and checksum."""
        return {"name": self.ensemble.card.name, "version": self.ensemble.card.version, "sha256": self.ensemble.bundle.sha256}

    def summary(self) -> dict[str, Any]:
        """What it is, frames compared and failed, and the mean of every figure over the last frames."""
        with self._lock:
            seen = [asdict(one) for one in self._seen]
            counts = {"frames": self._frames, "averaged": len(seen), "failed": self._failed, "failure": self.failure}
        return {**self.about, **counts, "agreement": {name: _mean([one[name] for one in seen]) for name in Agreement.__dataclass_fields__}}


def agree(live: Answer, other: Answer, latency_ms: float, live_latency_ms: float) -> Agreement:
    """How another answer to a frame agrees with the live one, whatever classes either knows."""
    near = _NEAR * neighbour_px(live.atoms)
    i, _ = match(other.atoms[:, :2], live.atoms[:, :2], near if np.isfinite(near) else _FALLBACK_PX)
    total = len(live.atoms) + len(other.atoms)
    seen = (live.mean.max(axis=0) > _FOREGROUND) | (other.mean.max(axis=0) > _FOREGROUND)
    return Agreement(
        f1=2 * len(i) / total if total else 1.0,
        count_ratio=len(other.atoms) / len(live.atoms) if len(live.atoms) else None,
        std=_spread(other.std, seen),
        live_std=_spread(live.std, seen),
        latency_ms=latency_ms,
        live_latency_ms=live_latency_ms,
    )


def _spread(std: NDArray[np.float32] | None, seen: NDArray[np.bool_]) -> float | None:
    return float(std.max(axis=0)[seen].mean()) if std is not None and seen.any() else None


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None
