"""Prometheus metrics: what the engine says of itself at each scrape, and what the control plane counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from ..members import MemberState
from ._meters import Meters

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
        yield _info("elit_build", "The running version", {"version": version("atomstream")})
        for part in _PARTS:
            yield from part(status)


def _streams(status: Mapping[str, Any]) -> Iterator[Metric]:
    received = CounterMetricFamily("elit_frames_received", "Frames that arrived", labels=["source"])
    answered = CounterMetricFamily("elit_frames_answered", "Frames whose results were published", labels=["source"])
    partial = CounterMetricFamily("elit_frames_partial", "Frames of scans that still ran, passed over", labels=["source"])
    dropped = CounterMetricFamily("elit_frames_dropped", "Frames that were lost, by where", labels=["source", "where"])
    gaps = CounterMetricFamily("elit_frame_sequence_gaps", "Jumps in the sequence numbers of a session", labels=["source"])
    age = GaugeMetricFamily("elit_frame_age_seconds", "Time since the frame answered last arrived", labels=["source"])
    for source, counts in status["streams"].items():
        received.add_metric([source], counts["received"])
        answered.add_metric([source], counts["answered"])
        partial.add_metric([source], counts["partial"])
        gaps.add_metric([source], counts["sequence_gaps"])
        if counts["age_s"] is not None:
            age.add_metric([source], counts["age_s"])
        for where, count in counts["dropped"].items():
            dropped.add_metric([source, where], count)
    yield from (received, answered, partial, dropped, gaps, age)
    if status["unwatched"] is not None:
        yield CounterMetricFamily("elit_frames_unwatched", "Answered frames that drift, recorder and candidate did not look at", value=status["unwatched"])
    if status["failed_after"] is not None:
        text = "Times that an answered frame could not be judged or kept"
        yield CounterMetricFamily("elit_frames_failed_after", text, value=status["failed_after"])


def _stages(status: Mapping[str, Any]) -> Iterator[Metric]:
    timing = status["timing"]
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


def _drift(status: Mapping[str, Any]) -> Iterator[Metric]:
    score = GaugeMetricFamily("elit_member_drift_score", "How much a member stands out from the others, 1 for not at all", labels=["source", "member"])
    alarm = GaugeMetricFamily("elit_drift_alarm", "1 while an alarm is latched", labels=["source", "subject"])
    for source, standing in status["drift"].items():
        for member, one in standing["members"].items():
            score.add_metric([source, member], one["ratio"])
            alarm.add_metric([source, member], float(one["alarm"]["raised"]))
        for subject in ("scene", "instrument"):
            alarm.add_metric([source, subject], float(standing[subject]["alarm"]["raised"]))
    yield from (score, alarm)


def _ensemble(status: Mapping[str, Any]) -> Iterator[Metric]:
    ensemble = status["ensemble"]
    labels = {name: str(ensemble[name]) for name in ("name", "version", "sha256", "generation")}
    yield _info("elit_ensemble_generation", "The ensemble that answers", labels)


def _tracks(status: Mapping[str, Any]) -> Iterator[Metric]:
    tracks = status["tracks"]
    if tracks is None:
        return
    yield CounterMetricFamily("elit_tracks_started", "Tracks of atoms begun", value=tracks["started"])
    yield GaugeMetricFamily("elit_tracks_open", "Tracks of atoms that could go on in the next frame", value=tracks["open"])
    yield CounterMetricFamily("elit_tracks_narrowed", "Frames so crowded that atoms were linked over a shorter distance than allowed", value=tracks["narrowed"])
    yield CounterMetricFamily("elit_tracks_restarted", "Times that a stream's ids were used up and began again", value=tracks["restarted"])


def _memory(status: Mapping[str, Any]) -> Iterator[Metric]:
    if status["memory_bytes"] is not None:
        yield GaugeMetricFamily("elit_engine_memory_bytes", "Memory that the engine process holds", value=status["memory_bytes"])


def _access(status: Mapping[str, Any]) -> Iterator[Metric]:
    family = CounterMetricFamily("elit_access_refused", "Requests and connections that were not let in, by way and reason", labels=["way", "reason"])
    for way, counts in status["access"].items():
        for reason, count in (counts or {}).items():
            family.add_metric([way, reason], count)
    yield family


def _info(name: str, text: str, labels: Mapping[str, str]) -> Metric:
    family = GaugeMetricFamily(f"{name}_info", text, labels=list(labels))
    family.add_metric(list(labels.values()), 1)
    return family


_PARTS: tuple[Callable[[Mapping[str, Any]], Iterator[Metric]], ...] = (_streams, _stages, _members, _drift, _ensemble, _tracks, _memory, _access)
"""Each makes metrics of a status."""


class Metrics:
    """Everything that `GET /metrics` shows.

    meters : what the control plane counts itself
    """

    def __init__(self, status: Status) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_EngineCollector(status))
        self.meters = Meters(self._registry)

    def exposition(self) -> bytes:
        """The metrics in Prometheus' text format."""
        return generate_latest(self._registry)
