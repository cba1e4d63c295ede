"""Sharing independent pieces of work between processors."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import count
from types import TracebackType
from typing import Any, Self

Each = Callable[..., Iterable[Any]]
"""Calls a function for each item and answers the results in order, as `map` does; `Sharing.each` does it on several processors."""


class Sharing:
    """Processors that help whoever has work to share.

    Who asks works along and begins at once: to wake a helper may take longer than a piece of work, and one that comes when all pieces are taken is not
    waited for. A thread pool's `map` leaves all the work to the pool, and waits for it.

    processors : that work together, the one that asks among them
    """

    def __init__(self, processors: int) -> None:
        self._helpers = processors - 1
        self._pool = ThreadPoolExecutor(max(1, self._helpers), thread_name_prefix="helper")

    def each(self, call: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        """What `call` answers to each of the items, in order; raises what it raises."""
        pieces = list(items)
        answers: list[Any] = [None] * len(pieces)
        numbers = count()

        def work() -> None:
            while (k := next(numbers)) < len(pieces):
                answers[k] = call(pieces[k])

        helpers = [self._pool.submit(work) for _ in range(min(self._helpers, len(pieces) - 1))]
        try:
            work()
        finally:
            came = [one for one in helpers if not one.cancel()]
            wait(came)
        for one in came:
            one.result()
        return answers

    def close(self) -> None:
        """Let the helpers go, once they have done what they began."""
        self._pool.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
