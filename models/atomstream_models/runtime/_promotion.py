"""A better way that takes over from the one that answers, one frame size after the other, once it is ready and gives the same answers."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Literal

from ..bundle import Bundle
from ._accelerator import AcceleratorFailed
from ._accept import agree_on
from ._bound import MOST_SHAPES
from ._compiled_networks import Abandoned
from ._upgrade import BuiltMembers, Upgrade
from ._ways import Members

Stage = Literal["waiting", "building", "ready", "refused"]
"""ready = frames of this size are answered in the better way; refused = they are not, and `why` says why not."""

_OFTEN = 20
"""Frames of a size that nobody announced before it is built for."""


@dataclass(frozen=True)
class Size:
    """How far a frame size is.

    shape : rows and columns that the members run on
    took_s : seconds that building and checking took
    """

    shape: tuple[int, int]
    stage: Stage
    why: str | None = None
    took_s: float | None = None

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "shape": list(self.shape)}


class Promotion:
    """Builds members in a better way beside the thread that runs frames, and tells that thread once frames of a size are to run there.

    A size counts as ready once the golden frames, brought to that size, come out there as the members give them in float32 on the CPU. A frame is answered
    in one of the two ways, whole. Where anything goes wrong, the way stays what it was.

    `members_for` and `refuse` are called from the thread that runs frames, `start` and `close` from anywhere.

    upgrade : the better way
    base : what answers until then; it is told to forget what it holds for sizes that it need not answer any more
    shapes : frame sizes to build for at once; others follow once the stream has shown them, as long as there is room for more
    """

    def __init__(self, upgrade: Upgrade, bundle: Bundle, base: Members, shapes: list[tuple[int, int]]) -> None:
        self.upgrade = upgrade
        self._bundle = bundle
        self._base = base
        self._shapes = shapes
        self._told: Callable[[Size], None] = lambda size: None
        self._better: BuiltMembers | None = None
        self._sizes: dict[tuple[int, int], Size] = {}
        self._seen: dict[tuple[int, int], int] = {}
        self._taken_over: set[tuple[int, int]] = set()
        self._lock = threading.Lock()
        self._tasks: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, told: Callable[[Size], None]) -> None:
        """Begin to build; once is enough.

        told : called with each size that is ready or refused, from a thread of its own
        """
        with self._lock:
            if self._thread is not None or self._stop.is_set():
                return
            self._told = told
            self._thread = threading.Thread(target=self._work, name="promotion", daemon=True)
            for shape in self._shapes:
                self._want(shape)
            self._thread.start()

    def members_for(self, shape: tuple[int, int]) -> Members | None:
        """Who runs a frame of this size in the better way; None where the other way does."""
        size = self._sizes.get(shape)
        if size is None:
            self._notice(shape)
            return None
        if size.stage != "ready":
            return None
        if shape not in self._taken_over:
            self._taken_over.add(shape)
            self._tasks.put(partial(self._let_base_forget, shape))
        return self._better

    def refuse(self, shape: tuple[int, int], why: str) -> None:
        """Go back to the other way for frames of a size."""
        with self._lock:
            self._sizes[shape] = replace(self._sizes[shape], stage="refused", why=why)
        if self._better is not None:
            self._tasks.put(partial(_give_back, self._better, shape))
        self._told(self._sizes[shape])

    def as_json(self) -> dict[str, Any]:
        return {**self.upgrade.as_json(), "missing": None, "sizes": [one.as_json() for one in list(self._sizes.values())]}

    def close(self) -> None:
        """Abandon what is being built, and give back what was."""
        self._stop.set()
        self._tasks.put(None)
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join()
        if self._better is not None:
            self._better.close()
            self._better = None

    def _notice(self, shape: tuple[int, int]) -> None:
        if self._thread is None or len(self._sizes) >= MOST_SHAPES:
            return
        self._seen[shape] = self._seen.get(shape, 0) + 1
        if self._seen[shape] >= _OFTEN:
            self._seen.clear()
            self._want(shape)

    def _want(self, shape: tuple[int, int]) -> None:
        if shape not in self._sizes and len(self._sizes) < MOST_SHAPES:
            self._sizes[shape] = Size(shape, "waiting")
            self._tasks.put(partial(self._build, shape))

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            if not self._stop.is_set():
                task()

    def _build(self, shape: tuple[int, int]) -> None:
        self._sizes[shape] = Size(shape, "building")
        begun = time.monotonic()
        try:
            if self._better is None:
                self._better = self.upgrade.open({member: self._bundle.member_path(member) for member in self._bundle.card.member_ids}, None)
            self._better.build(shape, self._stop)
            complaint = agree_on(shape, self._bundle, self._better, self.upgrade)
        except Abandoned:
            return
        except Exception as error:  # runtimes raise types of their own that share no documented base, and the stream goes on whatever happens here
            complaint = str(error) or type(error).__name__
        took_s = time.monotonic() - begun
        self._sizes[shape] = Size(shape, "ready" if complaint is None else "refused", complaint, took_s)
        if not self._stop.is_set():
            self._told(self._sizes[shape])

    def _let_base_forget(self, shape: tuple[int, int]) -> None:
        with self._lock:
            if self._sizes[shape].stage == "ready":
                _give_back(self._base, shape)


def _give_back(members: Members, shape: tuple[int, int]) -> None:
    # A device that has failed takes nothing back, and the frames that it is asked for find that out.
    with contextlib.suppress(AcceleratorFailed):
        members.forget(shape)
