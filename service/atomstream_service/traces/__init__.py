"""What happened to each frame and each change, told to an OpenTelemetry collector afterwards; nothing else imports OpenTelemetry."""

from ._open import TracesUnavailable, open_traces
from ._traces import Attribute, Stage, Traces

__all__ = ["Attribute", "Stage", "Traces", "TracesUnavailable", "open_traces"]
