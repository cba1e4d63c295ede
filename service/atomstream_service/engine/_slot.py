"""Where frames wait for the inference thread: one slot a socket, by its queue policy."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from ..config import Policy

T = TypeVar("T")


class Slot(Generic[T]):
    """A bounded waiting room.

    latest : holds one item, a newer one replaces it
    queue : holds `depth` items, the oldest makes way
    block : holds `depth` items, `put` waits

    changed : condition that guards the slot and tells the consumer of new items; shared between slots
    on_drop : called with every item that had to make way
    """

    def __init__(self, policy: Policy, depth: int, changed: threading.Condition, on_drop: Callable[[T], None]) -> None:
        self._policy = policy
        self._capacity = 1 if policy == "latest" else depth
        self._items: deque[T] = deque()
        self._changed = changed
        self._on_drop = on_drop
        self._closed = False

    def put(self, item: T) -> None:
        """Add an item; on a closed slot it counts as dropped."""
        dropped: list[T] = []
        with self._changed:
            if self._policy == "block":
                self._changed.wait_for(lambda: self._closed or len(self._items) < self._capacity)
            if self._closed:
                dropped.append(item)
            else:
                while len(self._items) >= self._capacity:
                    dropped.append(self._items.popleft())
                self._items.append(item)
                self._changed.notify_all()
        for one in dropped:
            self._on_drop(one)

    def pop(self) -> T | None:
        """The oldest item, or None; the caller holds `changed`."""
        if not self._items:
            return None
        item = self._items.popleft()
        if self._policy == "block":
            self._changed.notify_all()
        return item

    def close(self) -> None:
        """Let go of whoever waits in `put`."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
