"""Prometheus metrics, read from the engine at each scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from ..members import MemberState

Status = Callable[[], Mapping[str, Any]]
"""The answer of `GET /v1/status`, without its engine part where the engine is down."""


class _EngineCollector(Collector):
    def __init__(self, status: Status) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        status = self._status()
        engine = status["engine"]
        yield GaugeMetricFamily("elit_engine_up", "1 while the engine answers", value=float(engine["state"] == "ready"))
        yield CounterMetricFamily("elit_engine_restarts", "Times that the engine was started again", value=engine["restarts"])
        yield from _streams(status["streams"])
        yield from _stages(status["timing"])
        yield from _members(status)
        yield from _access(status["access"])


def _access(refused: Mapping[str, Any]) -> Iterator[Metric]:
    family = CounterMetricFamily("elit_access_refused", "Requests and connections that were not let in, by way and reason", labels=["way", "reason"])
    for way, counts in refused.items():
        for reason, count in (counts or {}).items():
            family.add_metric([way, reason], count)
    yield family


def _streams(streams: Mapping[str, Any]) -> Iterator[Metric]:
    received = CounterMetricFamily("elit_frames_received", "Frames that arrived", labels=["source"])
    answered = CounterMetricFamily("elit_frames_answered", "Frames whose results were published", labels=["source"])
    dropped = CounterMetricFamily("elit_frames_dropped", "Frames that were lost, by where", labels=["source", "where"])
    for source, counts in streams.items():
        received.add_metric([source], counts["received"])
        answered.add_metric([source], counts["answered"])
        for where, count in counts["dropped"].items():
            dropped.add_metric([source, where], count)
    yield from (received, answered, dropped)


def _stages(timing: Mapping[str, Any]) -> Iterator[Metric]:
    family = HistogramMetricFamily("elit_stage_duration_seconds", "Time of a frame, by stage", labels=["stage"])
    bounds = [*map(str, timing["histogram"]["bounds_s"]), "+Inf"] if timing else []
    for stage, histogram in timing["histogram"]["stages"].items() if timing else ():
        total = 0
        buckets = []
        for bound, count in zip(bounds, histogram["buckets"], strict=True):
            total += count
            buckets.append((bound, float(total)))
        family.add_metric([stage], buckets, histogram["sum_s"])
    yield family


def _members(status: Mapping[str, Any]) -> Iterator[Metric]:
    took = GaugeMetricFamily("elit_member_infer_seconds", "Time of a member's last run", labels=["member"])
    state = GaugeMetricFamily("elit_member_state", "1 for the state that a member is in", labels=["member", "state"])
    active = 0
    for member, entry in status["members"].items():
        if entry["latency_ms"] is not None:
            took.add_metric([member], entry["latency_ms"] / 1000)
        for one in MemberState:
            state.add_metric([member, one], float(entry["state"] == one))
        active += entry["state"] == MemberState.ENABLED
    yield from (took, state, GaugeMetricFamily("elit_members_active", "Members that count", value=active))
    generation = GaugeMetricFamily("elit_ensemble_generation_info", "The ensemble that answers", labels=["name", "version", "sha256", "generation"])
    ensemble = status["ensemble"]
    generation.add_metric([ensemble["name"], ensemble["version"], ensemble["sha256"], str(ensemble["generation"])], 1)
    yield generation
    if status["memory_bytes"] is not None:
        yield GaugeMetricFamily("elit_engine_memory_bytes", "Memory that the engine process holds", value=status["memory_bytes"])


def exposition(status: Status) -> bytes:
    """The metrics in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_EngineCollector(status))
    return generate_latest(registry)
