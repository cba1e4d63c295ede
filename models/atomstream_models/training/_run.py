"""A training run: one folder that holds the recipe, the images, the members as they come, and in the end the bundle."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..bundle import Card, open_bundle
from ..errors import InputError
from ._claim import claim, claimed, file_hash, images_hash
from ._errors import TrainingFailed
from ._files import disk_full_said
from ._member import BASELINE, MemberJob, draw_member, grain_px
from ._pack import pack_members
from ._recipe import Recipe
from .augment import Augmentation
from .data import SimulatedData, TrainingSet, simulate
from .executors import Executor

_SOURCES = {"prepared": "prepared images", "experimental": "frames that an ensemble labels, as `atomstream refine` does"}


@dataclass(frozen=True)
class Run:
    """Where the parts of a training run lie."""

    folder: Path

    @property
    def claim(self) -> Path:
        """What the folder holds: recipe, hash of the images, and more."""
        return self.folder / "run.json"

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

    A run that was cut off goes on where it was when called again in the same way; one that is finished is left as it is.

    data : the training set, needed where the recipe does not simulate one
    weights : file of weights that members start from, in place of a baseline network trained first
    about : more keys for the card
    done : called with each member's number when it is trained

    Raises
    ------
    InputError
        where the folder holds another run (of another recipe, on other images ...), or data are missing or don't fit.
    TrainingFailed
        where a member can't be trained; what is done stays.
    """
    provide(recipe, run, data)
    claim(run.claim, weights=None if weights is None else file_hash(weights), about=about or {})
    if run.bundle.exists():
        return open_bundle(run.bundle).card
    strategy = recipe.training.strategy
    if strategy == "swag" and weights is not None:
        raise InputError("strategy 'swag' draws members around a network that it trains itself; it can't start from given weights")
    if strategy != "scratch" and weights is None:
        alone = recipe.model_copy(update={"training": recipe.training.baseline})
        baseline = MemberJob(alone, BASELINE, run.data, run.member(BASELINE))
        for member in executor.train([baseline]):
            done(member)
        weights = run.member(BASELINE) / "weights.pt"
    jobs = [MemberJob(recipe, k, run.data, run.member(k), weights) for k in range(recipe.training.members)]
    if strategy == "swag":
        spread = run.member(BASELINE) / "spread.pt"
        if not spread.exists():
            raise TrainingFailed(f"{spread.parent} holds a network without spread.pt; delete that folder to train it again")
        for job in jobs:
            done(draw_member(job, spread))
    else:
        for member in executor.train(jobs):
            done(member)
    part = run.folder / "bundle.part"
    if part.exists():
        shutil.rmtree(part)
    with disk_full_said(run.bundle):
        card = pack_members(recipe, jobs, part, _with_images(about or {}, claimed(run.claim, "images")))
        part.rename(run.bundle)
    return card


def _with_images(about: dict[str, Any], images: str) -> dict[str, Any]:
    return {**about, "training": {**about.get("training", {}), "images_sha256": images}}


def provide(recipe: Recipe, run: Run, data: TrainingSet | None) -> None:
    """Make the folder this recipe's and have its training set there, whole.

    data : the set, where the recipe does not simulate one

    Raises
    ------
    InputError
        where the folder holds a run of another recipe or on other images, or data are missing or don't fit.
    """
    if data is None and not isinstance(recipe.data, SimulatedData):
        raise InputError(f"recipe {recipe.name!r} learns from {_SOURCES[recipe.data.kind]}; none were given")
    claim(run.claim, recipe=recipe.model_dump(mode="json"))
    if data is not None:
        claim(run.claim, images=images_hash(data))
    if run.data.exists():
        return
    made = simulate(recipe.data, len(recipe.classes), recipe.training.seed) if isinstance(recipe.data, SimulatedData) else data
    assert made is not None
    _check(recipe, made)
    if data is None:
        claim(run.claim, images=images_hash(made))
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
        raise InputError(f"{len(data)} training images are too few to hold {recipe.data.validation} of them out for validation (data.validation)")
    missing = [name for name, there in zip(recipe.classes, data.atoms_of_classes(), strict=True) if not there]
    if missing and recipe.data.kind != "experimental":
        raise InputError(f"no training image has an atom of class {', '.join(map(repr, missing))}; a network could not learn it")
    patch_px = recipe.augmentation.geometry.patch_px if isinstance(recipe.augmentation, Augmentation) else None
    shape = (patch_px, patch_px) if patch_px else data.images.shape[1:]
    grain = grain_px(recipe)
    if any(side % grain for side in shape):
        raise InputError(f"training images of {shape[0]}x{shape[1]} pixels: the recipe's networks need rows and columns that are multiples of {grain}")
