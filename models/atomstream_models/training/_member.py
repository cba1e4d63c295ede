"""One member's training in a folder of its own, resumable."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch

from ._export import export_member
from ._files import write_tensors, write_whole
from ._loop import Row, State, refresh_norms, start, train, validate
from ._recipe import Recipe
from ._swag import draw_weights, keep_spread
from .data import Feed, TrainingSet
from .losses import loss_function
from .networks import Network, build_network

BASELINE = -1
"""Number of the network that others start from."""


@dataclass(frozen=True)
class MemberJob:
    """What it takes to train one member.

    recipe : how
    member : its number; `BASELINE` for the network that others start from
    data : folder of the training set
    folder : where its checkpoint, history and result go
    weights : file of weights to start from, None for fresh ones
    device : as torch names it
    """

    recipe: Recipe
    member: int
    data: Path
    folder: Path
    weights: Path | None = None
    device: str = "cpu"

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to do."""
        return (self.folder / "metrics.json").exists()


def train_member(job: MemberJob) -> int:
    """Train a member to its end, from its last checkpoint if it has one; answers its number.

    Leaves `member.onnx`, `weights.pt`, `history.csv` and `metrics.json` in its folder.

    Raises
    ------
    TrainingFailed
        where the loss is no longer finite or the disk is full.
    """
    if job.finished:
        return job.member
    job.folder.mkdir(parents=True, exist_ok=True)
    settings = job.recipe.training
    network = fresh_network(job)
    # Convolutions on a CPU run a fifth faster so; on a GPU in mixed precision the more.
    network.to(job.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    state = start(network, settings)
    checkpoint = job.folder / "checkpoint.pt"
    if checkpoint.exists():
        state.restore(torch.load(checkpoint, map_location=job.device, weights_only=True))

    def save(state: State) -> None:
        write_tensors(checkpoint, state.as_dict())
        write_history(job.folder / "history.csv", state.history)

    train(state, open_feed(job), settings, save)
    if state.squares:
        keep_spread(state, job.folder / "spread.pt")
    network.cpu()
    finish(job, network, state)
    checkpoint.unlink(missing_ok=True)
    return job.member


def draw_member(job: MemberJob, spread: Path) -> int:
    """Make a member by drawing its weights around those of a trained network; answers its number.

    spread : what the network's training left as `spread.pt`
    """
    if job.finished:
        return job.member
    job.folder.mkdir(parents=True, exist_ok=True)
    network = fresh_network(job)
    network.load_state_dict(draw_weights(spread, member_seed(job.recipe, job.member)), strict=False)
    state = start(network, job.recipe.training)
    feed = open_feed(job)
    refresh_norms(network, feed, job.recipe.training)
    loss, found = validate(network, feed, loss_function(job.recipe.training.loss, job.recipe.training.class_weights))
    state.history.append(Row(0, "drawn", 0.0, loss, loss, found, 0.0))
    finish(job, network, state)
    return job.member


def fresh_network(job: MemberJob) -> Network:
    """The member's network before its first step; its initial weights are its own, or those it is to start from."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(member_seed(job.recipe, job.member))
        network = build_network(job.recipe.network(max(job.member, 0)), job.recipe.channels)
    if job.weights is not None:
        network.load_state_dict(torch.load(job.weights, map_location="cpu", weights_only=True))
    return network


def member_seed(recipe: Recipe, member: int) -> int:
    """The seed of a member's initial weights."""
    return int(np.random.SeedSequence([recipe.training.seed, 4, member + 1]).generate_state(1)[0])


def grain_px(recipe: Recipe) -> int:
    """Rows and columns of an image must be multiples of this for all of the recipe's networks."""
    with torch.random.fork_rng(devices=[]):
        return math.lcm(*(build_network(recipe.network(k), recipe.channels).downsample for k in range(len(recipe.networks))))


def open_feed(job: MemberJob) -> Feed:
    """The member's batches."""
    recipe, settings = job.recipe, job.recipe.training
    training, validation = TrainingSet.load(job.data).split(recipe.data.validation)
    return Feed(
        training,
        validation,
        recipe.augmentation,
        (recipe.normalization.name, recipe.normalization.parameters),
        softness=settings.softness,
        batch=settings.batch,
        seed=settings.seed,
        member=job.member + 1,
        device=torch.device(job.device),
    )


def finish(job: MemberJob, network: Network, state: State) -> None:
    """Write a trained member's weights, network, history and, last of all, its metrics."""
    network.eval()
    write_tensors(job.folder / "weights.pt", network.state_dict())
    recipe = job.recipe
    alike = (str(recipe.network(max(job.member, 0))), recipe.channels)

    def export(path: Path) -> None:
        export_member(network, path, downsample=network.downsample, half=recipe.half, alike=alike)

    write_whole(job.folder / "member.onnx", export)
    write_history(job.folder / "history.csv", state.history)
    last = state.history[-1]
    metrics = {"validation_loss": round(last.validation_loss, 6), "validation_iou": round(last.iou, 5), "steps": state.step, "averaged": state.averaged}
    write_whole(job.folder / "metrics.json", lambda path: path.write_text(json.dumps(metrics) + "\n", encoding="utf-8"))


def write_history(path: Path, rows: list[Row]) -> None:
    """A member's history as CSV, one line a validation."""
    text = io.StringIO()
    table = csv.DictWriter(text, [one.name for one in fields(Row)], lineterminator="\n")
    table.writeheader()
    table.writerows(asdict(row) for row in rows)
    write_whole(path, lambda part: part.write_text(text.getvalue(), encoding="utf-8"))
