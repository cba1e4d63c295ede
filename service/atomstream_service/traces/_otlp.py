"""Traces by OpenTelemetry's own SDK."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from importlib.metadata import version

from opentelemetry import propagate, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

from ._traces import Attribute, Stage

_EXPORT_S = 3.0


class OtlpTraces:
    """Spans that a thread of their own sends in batches; where the collector is away or slow, spans are lost."""

    def __init__(self, endpoint: str, share: float, process: str) -> None:
        running = version("atomstream")
        about = Resource.create({"service.name": f"atomstream-{process}", "service.version": running, "process.pid": os.getpid()})
        self._provider = TracerProvider(sampler=ParentBasedTraceIdRatio(share), resource=about, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=_EXPORT_S)
        self._provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=1000, export_timeout_millis=1000 * _EXPORT_S))
        self._tracer = self._provider.get_tracer("atomstream", running)

    def add(
        self,
        whole: Stage,
        stages: Sequence[Stage] = (),
        attributes: Mapping[str, Attribute] | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        failed: bool = False,
    ) -> None:
        context = None if headers is None else propagate.extract(dict(headers))
        span = self._tracer.start_span(whole.name, context, start_time=_ns(whole.start_s), attributes=attributes)
        if failed:
            span.set_status(trace.Status(trace.StatusCode.ERROR))
        if span.is_recording():
            inside = trace.set_span_in_context(span)
            for stage in stages:
                self._tracer.start_span(stage.name, inside, start_time=_ns(stage.start_s)).end(_ns(stage.end_s))
        span.end(_ns(whole.end_s))

    def close(self) -> None:
        # The SDK would try for half a minute; the control plane ends an engine that takes so long.
        ending = threading.Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        ending.start()
        ending.join(_EXPORT_S)


def _ns(seconds: float) -> int:
    return int(1e9 * seconds)
