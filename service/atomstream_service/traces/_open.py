from __future__ import annotations

from ..errors import AtomstreamError
from ._traces import Traces


class TracesUnavailable(AtomstreamError):
    """Traces are asked for, but what they need is not installed."""


def open_traces(endpoint: str, share: float, process: str) -> Traces:
    """Traces that go to a collector by OTLP over HTTP.

    endpoint : of the collector, http://HOST:PORT; spans go to `/v1/traces` there
    share : how many of all traces are kept, 0 to 1; a caller's own decision counts before it
    process : which of the service's processes speaks

    Raises
    ------
    TracesUnavailable
        where OpenTelemetry is not installed.
    """
    try:
        from ._otlp import OtlpTraces  # noqa: PLC0415
    except ImportError as error:
        raise TracesUnavailable(f"otel_endpoint is set, but OpenTelemetry is not installed ({error}); install atomstream[otel]") from error
    return OtlpTraces(endpoint, share, process)
