"""What the inference thread does next: commands first, then frames of every socket and requests in turn, then what may be done aside."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from ..config import FramesEndpoint
from ..transport import STOPPING, CommandRefused
from ._slot import Slot

T = TypeVar("T")
Command = Callable[[], None]


class Intake(Generic[T]):
    """The slots of all frame sockets, one more for single requests, and the commands that wait for a frame boundary.

    The slots take turns, so a request delays the stream by one frame at most and a busy socket starves no other.
    """

    def __init__(self, endpoints: Sequence[FramesEndpoint], requests: int, on_drop: Callable[[T], None]) -> None:
        self._changed = threading.Condition()
        self.frames = tuple(Slot[T](one.policy, one.depth, self._changed, on_drop) for one in endpoints)
        self._requests: deque[T] = deque()
        self._most_requests = requests
        self._commands: deque[Command] = deque()
        self._aside: deque[Command] = deque()
        self._turn = 0
        self._closed = False

    def request(self, item: T) -> bool:
        """Add a single request; False where too many wait already. Raises what `command` does."""
        with self._changed:
            self._check_open()
            if len(self._requests) >= self._most_requests:
                return False
            self._requests.append(item)
            self._changed.notify_all()
            return True

    def command(self, command: Command) -> None:
        """Have the inference thread call `command` at the next frame boundary.

        Raises
        ------
        CommandRefused
            once nobody takes anything any more.
        """
        with self._changed:
            self._check_open()
            self._commands.append(command)
            self._changed.notify_all()

    def aside(self, command: Command) -> None:
        """Have the inference thread call `command` once no frame waits; raises what `command` does."""
        with self._changed:
            self._check_open()
            self._aside.append(command)
            self._changed.notify_all()

    def take(self, timeout_s: float) -> T | Command | None:
        """The next command, frame or request; None after the timeout."""
        with self._changed:
            found = self._next()
            if found is None:
                self._changed.wait(timeout_s)
                found = self._next()
            return found

    def close(self) -> None:
        """Let go of every thread that waits in a slot, and refuse commands and requests from now on; those that wait can still be taken."""
        with self._changed:
            self._closed = True
        for slot in self.frames:
            slot.close()

    def _check_open(self) -> None:
        if self._closed:
            raise CommandRefused(STOPPING, "the engine is being stopped")

    def _next(self) -> T | Command | None:
        if self._commands:
            return self._commands.popleft()
        lanes = len(self.frames) + 1
        for step in range(lanes):
            lane = (self._turn + step) % lanes
            if lane < len(self.frames):
                item = self.frames[lane].pop()
            else:
                item = self._requests.popleft() if self._requests else None
            if item is not None:
                self._turn = lane + 1
                return item
        return self._aside.popleft() if self._aside else None
