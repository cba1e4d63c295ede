"""The training loop of one ensemble member."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ._errors import TrainingFailed
from ._settings import TrainingSettings
from .data import Feed
from .losses import Loss, iou, loss_function

_WARM_UP = 0.15
_TOLERANCE = 1e-4
"""A validation loss is better only if it is so by this share."""


@dataclass(frozen=True)
class Row:
    """One line of a member's history: the mean training loss since the last one, and a validation."""

    step: int
    phase: str
    rate: float
    loss: float
    validation_loss: float
    iou: float
    seconds: float


@dataclass
class State:
    """How far a training has come; everything that a checkpoint holds.

    step : steps done
    averaging_from : step at which averaging begins
    best, stale : best validation loss, and validations since
    total, squares, averaged : sums over the averaged weights, over their squares, and how many they are
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    averaging_from: int
    step: int = 0
    best: float = math.inf
    stale: int = 0
    averaged: int = 0
    total: dict[str, Tensor] = field(default_factory=dict)
    squares: dict[str, Tensor] = field(default_factory=dict)
    history: list[Row] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Plain tensors, numbers and lists, for a checkpoint."""
        plain = {name: getattr(self, name) for name in ("step", "averaging_from", "best", "stale", "averaged", "total", "squares")}
        history = [asdict(row) for row in self.history]
        return {**plain, "history": history, "network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def restore(self, saved: dict[str, Any]) -> None:
        """Go back to what a checkpoint holds."""
        self.network.load_state_dict(saved["network"])
        self.optimizer.load_state_dict(saved["optimizer"])
        for name in ("step", "averaging_from", "best", "stale", "averaged", "total", "squares"):
            setattr(self, name, saved[name])
        self.history = [Row(**row) for row in saved["history"]]


def start(network: nn.Module, settings: TrainingSettings) -> State:
    """A training that has not begun."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.rate, weight_decay=settings.weight_decay)
    return State(network, optimizer, averaging_from=settings.search_steps)


def train(state: State, feed: Feed, settings: TrainingSettings, save: Callable[[State], None] = lambda state: None) -> None:
    """Train to the end: a search, then, at constant rate, steps whose weights are averaged (multi-SWA as in Ghosh 2021).

    The state's network ends with the averaged weights, its norms' statistics taken anew, in evaluation mode. Deterministic
    on the CPU for a feed, settings and number of threads, also across an interruption.

    save : called whenever the state is worth keeping
    """
    loss_of = loss_function(settings.loss, settings.class_weights)
    losses, began = [], time.monotonic()
    state.network.train()
    while state.step < state.averaging_from + settings.swa_steps:
        for group in state.optimizer.param_groups:
            group["lr"] = rate_at(state, settings)
        losses.append(_step(state, feed, loss_of, settings))
        if state.step > state.averaging_from and (state.step - state.averaging_from) % settings.swa_every == 0:
            _remember(state, squares=settings.strategy == "swag")
        if state.step % settings.validate_every == 0:
            _validate(state, feed, loss_of, settings, sum(losses) / len(losses), time.monotonic() - began)
            losses, began = [], time.monotonic()
        if state.step % settings.checkpoint_every == 0:
            save(state)
    if state.averaged:
        state.network.load_state_dict({name: value / state.averaged for name, value in state.total.items()}, strict=False)
    refresh_norms(state.network, feed, settings)
    validation_loss, found = validate(state.network.eval(), feed, loss_of)
    last = sum(losses) / len(losses) if losses else state.history[-1].loss if state.history else math.nan
    state.history.append(Row(state.step, "averaged", rate_at(state, settings), last, validation_loss, found, time.monotonic() - began))


def rate_at(state: State, settings: TrainingSettings) -> float:
    """The learning rate of the state's next step."""
    if state.step >= state.averaging_from and settings.swa_steps:
        return settings.swa_rate
    if settings.schedule == "constant":
        return settings.rate
    done = state.step / max(settings.search_steps, 1)
    if done < _WARM_UP:
        return settings.rate * (0.04 + 0.96 * (1 - math.cos(math.pi * done / _WARM_UP)) / 2)
    low = settings.swa_rate if settings.swa_steps else 0.0
    return low + (settings.rate - low) * (1 + math.cos(math.pi * min((done - _WARM_UP) / (1 - _WARM_UP), 1.0))) / 2


def validate(network: nn.Module, feed: Feed, loss_of: Loss) -> tuple[float, float]:
    """Mean loss and mean IoU over classes on the validation images; NaN where there are none."""
    was_training, rows = network.training, []
    network.eval()
    with torch.no_grad():
        for lesson in feed.validation():
            logits = network(lesson.images)
            rows.append((float(loss_of(logits, lesson.wanted, lesson.known)), float(iou(logits, lesson.wanted, lesson.known).mean())))
    network.train(was_training)
    if not rows:
        return math.nan, math.nan
    return sum(row[0] for row in rows) / len(rows), sum(row[1] for row in rows) / len(rows)


def refresh_norms(network: nn.Module, feed: Feed, settings: TrainingSettings) -> None:
    """Take the statistics of all batch norms anew over some training batches, which averaged weights need."""
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    kept = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    network.train()
    with torch.no_grad():
        for k in range(settings.norm_batches):
            network(feed.batch(k).images)
    for norm, momentum in zip(norms, kept, strict=True):
        norm.momentum = momentum
    network.eval()


def _step(state: State, feed: Feed, loss_of: Loss, settings: TrainingSettings) -> float:
    lesson = feed.batch(state.step)
    device = lesson.images.device.type
    with torch.autocast(device, torch.bfloat16, enabled=settings.precision == "mixed"):
        logits = state.network(lesson.images)
    loss = loss_of(logits.float(), lesson.wanted, lesson.known)
    if not torch.isfinite(loss):
        raise TrainingFailed(f"the loss is no longer finite at step {state.step}; a smaller rate than {settings.rate:g} may help")
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    state.optimizer.step()
    state.step += 1
    return loss.item()


def _remember(state: State, *, squares: bool) -> None:
    state.averaged += 1
    for name, value in state.network.named_parameters():
        kept = value.detach().double()
        state.total[name] = state.total[name] + kept if name in state.total else kept.clone()
        if squares:
            state.squares[name] = state.squares[name] + kept**2 if name in state.squares else kept**2


def _validate(state: State, feed: Feed, loss_of: Loss, settings: TrainingSettings, loss: float, seconds: float) -> None:
    validation_loss, found = validate(state.network, feed, loss_of)
    searching = state.step < state.averaging_from
    state.history.append(Row(state.step, "search" if searching else "average", rate_at(state, settings), loss, validation_loss, found, seconds))
    if not searching:
        return
    if validation_loss < state.best * (1 - _TOLERANCE):
        state.best, state.stale = validation_loss, 0
    else:
        state.stale += 1
    if settings.patience and state.stale >= settings.patience:
        state.averaging_from = state.step
