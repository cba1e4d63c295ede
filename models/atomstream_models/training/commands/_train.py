from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from .._recipe import load_recipe
from .._run import Run, train_ensemble
from ..data import load_images
from ..executors import Executor, LocalExecutor, RayExecutor
from ._progress import following

if TYPE_CHECKING:
    from ._types import Commands


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "train",
        help="train an ensemble",
        description="Train the members of a recipe and pack them into a bundle. Called again with the same folder, a run that was cut off goes on.",
    )
    parser.add_argument("recipe", metavar="RECIPE", help="name of a recipe that comes with Atomstream, or a TOML file")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the run; the bundle comes to DIR/bundle")
    parser.add_argument("--data", type=Path, metavar="FILE.npz", help="images with atoms or masks, for recipes that learn from prepared images")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="changes", help="change a setting of the recipe: training.steps=300")
    parser.add_argument("--members", type=int, metavar="N", help="short for --set training.members=N")
    parser.add_argument("--seed", type=int, metavar="S", help="short for --set training.seed=S")
    add_executor(parser)
    parser.add_argument("--json", action="store_true", help="print the card's figures for programs")
    parser.set_defaults(run=_run)


def add_executor(parser: argparse.ArgumentParser) -> None:
    """The flags that say where members are trained."""
    parser.add_argument("--jobs", type=int, metavar="N", help="members trained at once (one a GPU, or one a processor)")
    parser.add_argument("--ray", nargs="?", const="", metavar="ADDRESS", help="train on a Ray cluster; without an address, one on this machine")
    parser.add_argument("--ray-gpus", type=float, default=0.0, metavar="G", help="GPUs for each member on the cluster (0)")


def executor(given: argparse.Namespace) -> Executor:
    """The executor that the flags ask for."""
    return LocalExecutor(given.jobs) if given.ray is None else RayExecutor(given.ray or None, given.ray_gpus)


def _run(given: argparse.Namespace) -> int:
    shorts = [f"training.{name}={getattr(given, name)}" for name in ("members", "seed") if getattr(given, name) is not None]
    recipe = load_recipe(given.recipe, [*given.changes, *shorts])
    run = Run(given.out)
    data = None if given.data is None else load_images(given.data, len(recipe.classes))
    with following(run, recipe, quiet=given.json) as done:
        card = train_ensemble(recipe, run, executor(given), data=data, done=done)
    figures = {
        "bundle": str(run.bundle),
        "name": card.name,
        "version": card.version,
        "threshold": card.threshold,
        "validation_f1": card.training["validation_f1"],
        "members": {member.id: member.metrics for member in card.members},
    }
    if given.json:
        print(json.dumps(figures, indent=2))
    else:
        print(f"{run.bundle}: {len(card.members)} members, threshold {card.threshold:g}, validation F1 {card.training['validation_f1']:.4f}")
    return 0
