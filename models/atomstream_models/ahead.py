"""Work on many things that is done before somebody asks for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_T = TypeVar("_T")
_R = TypeVar("_R")


def ahead(call: Callable[[_T], _R], items: Iterable[_T], at_once: int) -> Iterator[_R]:
    """What `call` makes of each item, in order, as `map` does; so many threads work ahead of whoever takes the results.

    Besides the result that is taken, no more than `at_once` are there or under way. Items are taken by the thread that takes the results. What `call` raises
    is raised in the place of its result; after that, or where the rest is not wanted, what is under way is finished and nothing more is begun.
    """
    due: deque[Future[_R]] = deque()
    with ThreadPoolExecutor(at_once, thread_name_prefix="ahead") as threads:
        try:
            for item in items:
                due.append(threads.submit(call, item))
                if len(due) > at_once:
                    yield due.popleft().result()
            while due:
                yield due.popleft().result()
        finally:
            for one in due:
                one.cancel()
