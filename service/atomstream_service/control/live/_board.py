"""The state of things as all pages show it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from ._protocol import state_text
from ._watcher import Watcher

_EVERY_S = 0.4
_STALE_S = 2.0


class Board(Watcher):
    """Holds the latest `state` message, which is read once for all pages; wakes whoever has joined when it has changed.

    read : the state now
    """

    def __init__(self, read: Callable[[], Mapping[str, Any]]) -> None:
        super().__init__("live-state")
        self._read = read
        self._text = ""
        self._read_at = -math.inf

    def look(self) -> bool:
        time.sleep(_EVERY_S)
        before = self._text
        return self._look_now() != before

    @property
    def text(self) -> str:
        """What was read last, unless nobody has wanted to know for a while."""
        return self._text if time.monotonic() - self._read_at < _STALE_S else self._look_now()

    def _look_now(self) -> str:
        self._text, self._read_at = state_text(self._read()), time.monotonic()
        return self._text
