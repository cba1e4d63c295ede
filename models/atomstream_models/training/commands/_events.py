"""How far a refinement is, told to programs: JSON, one line an event."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Literal

from .._member import BASELINE
from .._recipe import Recipe
from .._run import Run
from ._progress import last_row, steps_of

Stage = Literal["labels", "images", "train", "pack", "done", "failed"]
"""labels = the parent looks at the frames; images = they are cut up; train = members learn; pack = the bundle is made and tried; then one of the last two."""

_EVERY_S = 0.5
_BEGINS: dict[Stage, float] = {"labels": 0.0, "images": 0.04, "train": 0.06, "pack": 0.94}
"""Share of a round's work that is done when a stage begins."""
_ENOUGH = 0.02
"""Share of the work after which the rest can be foretold."""


@dataclass(frozen=True)
class Event:
    """One line.

    t : seconds since 1970
    stage : see `Stage`
    round : of refinement, from 1
    member : number of the member that the figures are of, None where they are of none
    step, steps : gradient steps that it has done, and will have done at most
    loss, iou : its last validation
    share : of the whole work that is done, 0 to 1; never falls
    eta_s : seconds to the end if it goes on like that; None while nobody knows
    message : in words
    bundle : folder of the new bundle, with `done`
    """

    t: float
    stage: Stage
    round: int
    share: float
    member: int | None = None
    step: int | None = None
    steps: int | None = None
    loss: float | None = None
    iou: float | None = None
    eta_s: float | None = None
    message: str = ""
    bundle: str | None = None


class Events:
    """Writes the events of one refinement; may be told by several threads.

    file : takes a line an event
    rounds : there are at most
    """

    def __init__(self, file: IO[str], rounds: int) -> None:
        self._file = file
        self._rounds = rounds
        self._lock = threading.RLock()
        self._share = 0.0
        self._round = 1
        self._train_began: tuple[float, float] | None = None

    def stage(self, stage: Stage, number: int, message: str = "") -> None:
        """A stage of round `number` begins."""
        self._round = number
        self._write(stage, _BEGINS[stage], message=message)

    def done(self, message: str, bundle: Path) -> None:
        """All is done; the new bundle lies in the folder `bundle`."""
        self._round, self._share = self._rounds, 1.0
        self._write("done", 1.0, message=message, bundle=str(bundle))

    def failed(self, message: str) -> None:
        """It ended without a bundle."""
        self._write("failed", 0.0, message=message)

    @contextlib.contextmanager
    def following(self, run: Run, recipe: Recipe, number: int) -> Iterator[Callable[[int], None]]:
        """Tell how far each member of a round is until the context ends; yields what to call when a member is done."""
        members = ([BASELINE] if recipe.training.strategy == "swag" else []) + list(range(recipe.training.members))
        steps = dict.fromkeys(members, 0)
        total = sum(steps_of(recipe, member) for member in members)
        self.stage("train", number, f"{recipe.training.members} members")
        self._train_began = None
        ended = threading.Event()

        def tell(member: int, step: int) -> None:
            row = last_row(run.member(member)) or {}
            loss, iou = (_number(row.get(name)) for name in ("validation_loss", "iou"))
            with self._lock:
                if step > steps[member]:
                    steps[member] = step
                    share = _BEGINS["train"] + (_BEGINS["pack"] - _BEGINS["train"]) * sum(steps.values()) / total
                    self._write("train", share, member=member, step=step, steps=steps_of(recipe, member), loss=loss, iou=iou)

        def watch() -> None:
            while not ended.wait(_EVERY_S):
                for member in members:
                    if (last := last_row(run.member(member))) is not None and steps[member] < steps_of(recipe, member):
                        tell(member, int(last["step"]))

        def done(member: int) -> None:
            if member in steps:
                tell(member, steps_of(recipe, member))
            if all(step >= steps_of(recipe, one) for one, step in steps.items()):
                self.stage("pack", number)

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield done
        finally:
            ended.set()
            watcher.join()

    def _write(self, stage: Stage, share: float, **figures: Any) -> None:
        """`share` is that of the round."""
        with self._lock:
            self._share = max(self._share, (self._round - 1 + share) / self._rounds)
            event = Event(round(time.time(), 3), stage, self._round, round(self._share, 4), eta_s=self._eta_s(stage), **figures)
            self._file.write(json.dumps(asdict(event)) + "\n")
            self._file.flush()

    def _eta_s(self, stage: Stage) -> float | None:
        """By how fast members were trained; a training that goes on begins anywhere."""
        if stage not in ("train", "pack"):
            return None
        now = time.monotonic()
        if self._train_began is None:
            self._train_began = now, self._share
        began, share = self._train_began
        return round((now - began) * (1 - self._share) / (self._share - share), 1) if self._share - share > _ENOUGH / self._rounds else None


def _number(text: str | None) -> float | None:
    """A finite number, as JSON wants it."""
    if text is None:
        return None
    value = float(text)
    return round(value, 5) if abs(value) < float("inf") else None


@contextlib.contextmanager
def opened(target: str) -> Iterator[IO[str]]:
    """Where events go: a file that is added to, or, for `-`, standard output, which then takes nothing else.

    Libraries print what they please; that and what members' processes print goes to standard error.
    """
    if target != "-":
        with Path(target).open("a", encoding="utf-8") as file:
            yield file
        return
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with os.fdopen(os.dup(kept), "w", encoding="utf-8") as file:
            yield file
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
