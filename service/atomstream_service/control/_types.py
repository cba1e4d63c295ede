from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from ..transport import Reply


class Call(Protocol):
    """Sends a command to the engine; raises EngineUnavailable, CommandRefused."""

    def __call__(self, operation: str, arguments: Mapping[str, Any], *, timeout_s: float) -> Reply: ...
