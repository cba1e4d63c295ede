"""What the control plane counts itself, for Prometheus."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics

SwapResult = Literal["swapped", "refused", "reverted"]
"""swapped = another ensemble became live; refused = the live one stayed; reverted = the new one failed in its first frames and the last good one is back."""

_SWAP_BUCKETS_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0)
_SERVICES_OWN = ("control", "drift", "engine", "policy", "watch folder")

# Each counter would get a second series with the time of its making, which nothing here needs.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Meters:
    """Counts since the control plane was started; safe from any thread."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._actions = Counter("elit_control_actions", "Lines of the journal, by who acted", ["actor_kind", "action"], registry=registry)
        self._swaps = Counter("elit_swap", "Changes of the live ensemble", ["result"], registry=registry)
        self._swap_seconds = Histogram(
            "elit_swap_duration_seconds",
            "From the order to change the live ensemble until the new one answers, loading and warming included",
            buckets=_SWAP_BUCKETS_S,
            registry=registry,
        )
        results: tuple[SwapResult, ...] = ("swapped", "refused", "reverted")
        for result in results:
            self._swaps.labels(result)

    def acted(self, line: Mapping[str, Any]) -> None:
        """Note a line of the journal."""
        self._actions.labels(_kind(line["actor"]), line["action"]).inc()

    def reverted(self) -> None:
        """Note that a swap was undone."""
        self._swaps.labels("reverted").inc()

    @contextlib.contextmanager
    def swap(self, clock: Callable[[], float] = time.perf_counter) -> Iterator[None]:
        """Note a swap that is made within the context; refused where the context raises."""
        start = clock()
        try:
            yield
        except Exception:
            self._swaps.labels("refused").inc()
            raise
        self._swaps.labels("swapped").inc()
        self._swap_seconds.observe(clock() - start)


def _kind(actor: str) -> str:
    """Kinds of actor are few, whatever names callers give themselves: each part of the service by its name, `named` and `anonymous` callers."""
    if actor in _SERVICES_OWN:
        return actor
    return "anonymous" if actor.startswith("anonymous@") else "named"
