"""All members of an ensemble, several at a time, each in a process of its own."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch

from ._config import FirstEnsemble
from ._data import simulate_pool
from ._export import export_member
from ._train import train_member


def train_ensemble(config: FirstEnsemble, out: Path, jobs: int = 1) -> Iterator[Path]:
    """Train every member and export it to `out/m00.onnx`, `out/m01.onnx`, ...; yields each path as it is done.

    A member whose file exists already is not trained again, so a killed run goes on where it was.
    """
    out.mkdir(parents=True, exist_ok=True)
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap_unordered(partial(_train_one, out=out, config=config), range(config.members))


def _train_one(member: int, out: Path, config: FirstEnsemble) -> Path:
    path = out / f"m{member:02d}.onnx"
    if path.exists():
        return path
    torch.set_num_threads(1)
    losses: list[float] = []

    def progress(step: int, loss: float) -> None:
        losses.append(loss)
        if step % 100 == 99:
            print(f"member {member} step {step + 1}/{config.steps} loss {sum(losses[-100:]) / 100:.4f}", flush=True)

    unfinished = path.with_suffix(".part")
    export_member(train_member(config, simulate_pool(config), member, progress), unfinished)
    return unfinished.rename(path)
