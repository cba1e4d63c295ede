"""The state of things as all pages show it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from ._protocol import state_text
from ._watcher import Watcher

_EVERY_S = 0.4


class Board(Watcher):
    """Holds the latest `state` message, which is read once for all pages; wakes whoever has joined when it has changed.

    read : the state now
    """

    def __init__(self, read: Callable[[], Mapping[str, Any]]) -> None:
        super().__init__("live-state")
        self._read = read
        self._text = ""

    def look(self) -> bool:
        time.sleep(_EVERY_S)
        text = self.now()
        changed, self._text = text != self._text, text
        return changed

    @property
    def text(self) -> str:
        """What was read last."""
        return self._text or self.now()

    def now(self) -> str:
        return state_text(self._read())
