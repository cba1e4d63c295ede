"""Waiting for what comes about in another process."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def until(look: Callable[[], Any], good: Callable[[Any], bool], timeout_s: float = 60.0) -> Any:
    """What `look` sees as soon as it is good; an AssertionError with what was seen last after the timeout."""
    deadline = time.monotonic() + timeout_s
    while not good(seen := look()):
        assert time.monotonic() < deadline, seen
        time.sleep(0.05)
    return seen
