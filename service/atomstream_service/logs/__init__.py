"""One line a happening, from all processes alike, as text or as JSON."""

from ._format import FIELDS, JsonFormatter, TextFormatter
from ._relay import Said, read_said, relay
from ._setup import LogFormat, LogLevel, flush_logs, set_up_logs
from ._throttle import Throttle

__all__ = ["FIELDS", "JsonFormatter", "LogFormat", "LogLevel", "Said", "TextFormatter", "Throttle", "flush_logs", "read_said", "relay", "set_up_logs"]
