"""Whether there is a newer frame."""

from __future__ import annotations

import time

from ...transport import CommandRefused, EngineUnavailable
from .._service import Service
from ._watcher import Watcher

_WAIT_S = 1.0
_PAUSE_S = 0.2


class FrameWatcher(Watcher):
    """Wakes whoever has joined at every frame that the engine publishes, and at the first one of an engine that has come back."""

    def __init__(self, service: Service) -> None:
        super().__init__("live-frames")
        self._service = service
        self._number = -1

    def look(self) -> bool:
        try:
            number: int = self._service.call("next", {"number": self._number, "wait_s": _WAIT_S}, timeout_s=_WAIT_S + 5).body["number"]
        except (EngineUnavailable, CommandRefused):
            self._number = -1
            time.sleep(_PAUSE_S)
            return False
        newer = number != self._number and number > 0
        self._number = number
        return newer
