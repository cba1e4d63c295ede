"""One line a happening, from both processes alike, as text or as JSON."""

from ._format import FIELDS, JsonFormatter, TextFormatter
from ._setup import LogFormat, LogLevel, flush_logs, set_up_logs
from ._throttle import Throttle

__all__ = ["FIELDS", "JsonFormatter", "LogFormat", "LogLevel", "TextFormatter", "Throttle", "flush_logs", "set_up_logs"]
