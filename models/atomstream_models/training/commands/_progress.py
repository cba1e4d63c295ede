"""Progress bars of members that train in other processes, read from their histories."""

from __future__ import annotations

import contextlib
import csv
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from .._member import BASELINE
from .._recipe import Recipe
from .._run import Run

_EVERY_S = 1.0


@contextlib.contextmanager
def following(run: Run, recipe: Recipe, *, quiet: bool = False) -> Iterator[Callable[[int], None]]:
    """Show how far each member is until the context ends; yields what to call when a member is done."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.fields[note]}"))
    with Progress(*columns, disable=quiet) as bars:
        images = bars.add_task("images", total=1, note="")
        members = ([BASELINE] if recipe.training.strategy != "scratch" else []) + list(range(recipe.training.members))
        tasks = {member: bars.add_task(run.member(member).name, total=steps_of(recipe, member), note="") for member in members}
        ended = threading.Event()
        watcher = threading.Thread(target=_watch, args=(run, bars, images, tasks, ended), daemon=True)
        watcher.start()

        def done(member: int) -> None:
            if member in tasks:
                total = steps_of(recipe, member)
                bars.update(tasks[member], completed=total, note=_note(run.member(member)))

        try:
            yield done
            bars.update(images, completed=1)
        finally:
            ended.set()
            watcher.join()


def steps_of(recipe: Recipe, member: int) -> int:
    """Gradient steps of a member at most."""
    if member == BASELINE:
        return recipe.training.baseline_steps
    return 1 if recipe.training.strategy == "swag" else recipe.training.steps


def _watch(run: Run, bars: Progress, images: TaskID, tasks: dict[int, TaskID], ended: threading.Event) -> None:
    while not ended.wait(_EVERY_S):
        bars.update(images, completed=int(run.data.exists()))
        for member, task in tasks.items():
            if not bars.tasks[task].finished and (last := last_row(run.member(member))) is not None:
                bars.update(task, completed=int(last["step"]), note=_note(run.member(member)))


def last_row(folder: Path) -> dict[str, str] | None:
    """The last line of a member's history; None while there is none."""
    with contextlib.suppress(OSError):
        rows = list(csv.DictReader((folder / "history.csv").read_text(encoding="utf-8").splitlines()))
        return rows[-1] if rows else None
    return None


def _note(folder: Path) -> str:
    last = last_row(folder)
    return "" if last is None else f"loss {float(last['validation_loss']):.4f} IoU {float(last['iou']):.3f}"
