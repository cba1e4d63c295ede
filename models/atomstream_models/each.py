"""Sharing independent pieces of work between processors."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

Each = Callable[..., Iterable[Any]]
"""Calls a function for each item and answers the results in order, as `map` does; a thread pool's `map` does it on several processors."""
