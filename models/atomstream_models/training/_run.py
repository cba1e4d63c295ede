"""A training run: one folder that holds the recipe, the images, the members as they come, and in the end the bundle."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..bundle import Card
from ..errors import InputError
from ._errors import TrainingFailed
from ._files import disk_full_said, write_whole
from ._member import BASELINE, MemberJob, draw_member
from ._pack import pack_members
from ._recipe import Recipe
from .data import SimulatedData, TrainingSet, simulate
from .executors import Executor


@dataclass(frozen=True)
class Run:
    """Where the parts of a training run lie."""

    folder: Path

    @property
    def recipe(self) -> Path:
        return self.folder / "recipe.json"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def bundle(self) -> Path:
        return self.folder / "bundle"

    def member(self, number: int) -> Path:
        """The folder of a member, or of the network that others start from."""
        return self.folder / "members" / ("baseline" if number == BASELINE else f"m{number:02d}")


def train_ensemble(
    recipe: Recipe,
    run: Run,
    executor: Executor,
    *,
    data: TrainingSet | None = None,
    weights: Path | None = None,
    about: dict[str, Any] | None = None,
    done: Callable[[int], None] = lambda member: None,
) -> Card:
    """Train all members of a recipe and pack them; answers the card of the bundle in `run.bundle`.

    A run that was cut off goes on where it was when called again in the same way.

    data : the training set, needed where the recipe does not simulate one
    weights : file of weights that members start from, in place of a baseline network trained first
    about : more keys for the card
    done : called with each member's number when it is trained

    Raises
    ------
    InputError
        where the folder holds a run of another recipe, or data are missing.
    TrainingFailed
        where a member can't be trained; what is done stays.
    """
    provide(recipe, run, data)
    strategy = recipe.training.strategy
    if strategy != "scratch" and weights is None:
        steps = recipe.training.model_copy(update={"steps": recipe.training.baseline_steps})
        baseline = MemberJob(recipe.model_copy(update={"training": steps}), BASELINE, run.data, run.member(BASELINE))
        for member in executor.train([baseline]):
            done(member)
        weights = run.member(BASELINE) / "weights.pt"
    jobs = [MemberJob(recipe, k, run.data, run.member(k), weights) for k in range(recipe.training.members)]
    if strategy == "swag":
        spread = run.member(BASELINE) / "spread.pt"
        if not spread.exists():
            raise TrainingFailed("strategy 'swag' draws members around a network that it trains itself; it can't start from given weights")
        for job in jobs:
            done(draw_member(job, spread))
    else:
        for member in executor.train(jobs):
            done(member)
    if run.bundle.exists():
        shutil.rmtree(run.bundle)
    with disk_full_said(run.bundle):
        return pack_members(recipe, jobs, run.bundle, about or {})


def _claim(recipe: Recipe, run: Run) -> None:
    """Make the folder this recipe's, or see that it is so already."""
    wanted = recipe.model_dump(mode="json")
    if run.recipe.exists():
        found = json.loads(run.recipe.read_text(encoding="utf-8"))
        if found != wanted:
            raise InputError(f"{run.folder} holds a run of another recipe ({', '.join(_differences(found, wanted))} differ); choose another folder")
        return
    run.folder.mkdir(parents=True, exist_ok=True)
    write_whole(run.recipe, lambda path: path.write_text(json.dumps(wanted, indent=2) + "\n", encoding="utf-8"))


def _differences(one: Any, other: Any, where: str = "") -> list[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        keys = sorted({*one, *other})
        return [found for key in keys for found in _differences(one.get(key), other.get(key), f"{where}.{key}" if where else str(key))]
    return [] if one == other else [where]


def provide(recipe: Recipe, run: Run, data: TrainingSet | None) -> None:
    """Make the folder this recipe's and have its training set there, whole.

    data : the set, where the recipe does not simulate one

    Raises
    ------
    InputError
        where the folder holds a run of another recipe, or data are missing or don't fit.
    """
    _claim(recipe, run)
    if run.data.exists():
        return
    if isinstance(recipe.data, SimulatedData):
        made = simulate(recipe.data, len(recipe.classes), recipe.training.seed)
    elif data is None:
        raise InputError(f"recipe {recipe.name!r} learns from prepared images; none were given")
    else:
        made = data
    _check(recipe, made)
    part = run.folder / "data.part"
    if part.exists():
        shutil.rmtree(part)
    with disk_full_said(run.data):
        made.save(part)
        part.rename(run.data)


def _check(recipe: Recipe, data: TrainingSet) -> None:
    if data.classes != len(recipe.classes):
        raise InputError(f"the training images have {data.classes} classes, the recipe names {len(recipe.classes)}: {', '.join(recipe.classes)}")
    if not isinstance(recipe.data, SimulatedData) and len(data) <= recipe.data.validation:
        raise InputError(f"{len(data)} training images are too few to hold {recipe.data.validation} of them out for validation")
