"""Our frames against AtomAI's: the same 512x512 frames, whole, from pixels to atoms, in turns on this machine.

    python benchmarks/versus_atomai.py WORK --prepare                       # once: AtomAI 0.8.1 into WORK/packages
    python benchmarks/frames_versus_atomai.py WORK --train                  # once, for hours: eight of its Unets by the recipe of `graphene`
    python benchmarks/frames_versus_atomai.py WORK [--device cuda] [--json FILE]

WORK/preset may hold fewer members (any `weights.pt` of AtomAI's Unet with 16 filters); they are taken in turns to make eight.
AtomAI's EnsemblePredictor and Locator run in a process of their own, on the same device. On our side the same weights, imported, run in every way
that this machine has for the device, and so does the shipped `graphene`. The locators alone get a map of 2048x2048 pixels with 19881 known centres.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from atomai_ensembles import MEMBERS, preset
from numpy.typing import NDArray

from atomstream_models.analysis import Answer, finish, infer, prepare
from atomstream_models.bundle import Bundle, find_bundle, open_bundle
from atomstream_models.each import Sharing
from atomstream_models.locate import locate
from atomstream_models.metrics import match
from atomstream_models.runtime import Device, LoadedEnsemble, load_in, processors, ways_here
from atomstream_models.simulation import SimulatedMicroscope, soft_disks
from atomstream_models.training import Run, load_recipe, train_ensemble
from atomstream_models.training.executors import LocalExecutor
from atomstream_service.bench import this_machine

Figures = dict[str, Any]

_SHAPE = (512, 512)
_LARGE_PX, _ACROSS = 2048, 141
_EDGE_PX = 5
"""AtomAI's Locator drops what is nearer to the border; so errors are compared without."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.train:
        _train(given.work)
        return
    microscope = SimulatedMicroscope(41, _SHAPE)
    made = [microscope.next_frame() for _ in range(3)]
    images, pixel_nm = [one.image for one in made], made[0].pixel_nm
    mean, members, true = _large()
    with tempfile.TemporaryDirectory() as scratch, Sharing(processors()) as helpers:
        tar, same = preset(given.work)
        bundles = {"same weights": same, "graphene": open_bundle(find_bundle("graphene", Path(scratch)))}
        runs = {who: _ways(bundle, given.device) for who, bundle in bundles.items()}
        peer = _AtomAI(given.work / "packages", tar, images, mean, Path(scratch), given.device)
        cases: dict[str, Callable[[int], tuple[float, NDArray[Any]]]] = {"AtomAI": peer.frame}
        cases |= {f"{who}, {way}": _ours(one, images, pixel_nm, helpers) for who, ways in runs.items() for way, one in ways.items()}
        frames = _in_turns(cases, given.rounds)
        locating: dict[str, Callable[[int], tuple[float, NDArray[Any]]]] = {
            "AtomAI": lambda _: peer.locate(),
            "ours, one thread": lambda _: _located(mean, (), map),
            "ours": lambda _: _located(mean, (), helpers.each),
            "ours, with what each of 8 members sees": lambda _: _located(mean, members, helpers.each),
        }
        located = _in_turns(locating, given.rounds)
        peer.close()
        figures = {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": this_machine().as_json(),
            "atomai": "0.8.1",
            "device": given.device,
            "rounds": given.rounds,
            "frame": {name: _summed(seconds, frames["AtomAI"][0]) | {"atoms": len(atoms)} for name, (seconds, atoms) in frames.items()},
            "apart_from_onnxruntime": {who: _errors(ways, images[0], pixel_nm) for who, ways in runs.items()},
            "locate": {name: _summed(seconds, located["AtomAI"][0]) | _accuracy(atoms, true) for name, (seconds, atoms) in located.items()},
        }
    text = json.dumps(figures, indent=2)
    print(text)
    if given.json is not None:
        given.json.write_text(text + "\n", encoding="utf-8")


def _train(work: Path) -> None:
    shipped = load_recipe("graphene")
    network = shipped.networks[0].model_copy(update={"kind": "atomai-unet", "filters": 16})
    recipe = shipped.model_copy(update={"version": "atomai-preset", "networks": [network]})
    train_ensemble(recipe, Run(work / "preset"), LocalExecutor(), done=lambda member: print(f"member {member}", flush=True))


def _ways(bundle: Bundle, device: Device) -> dict[str, LoadedEnsemble]:
    return {str(way): load_in(way, bundle, None) for way in ways_here(device, "auto", "fast")[0]}


def _answer(ensemble: LoadedEnsemble, image: NDArray[Any], pixel_nm: float, helpers: Sharing | None = None) -> Answer:
    each = map if helpers is None else helpers.each
    prepared = prepare(image, (pixel_nm, pixel_nm), ensemble.card)
    return finish(infer(prepared, ensemble.card, ensemble.card.member_ids, ensemble.answer, each), ensemble.card, each)


def _ours(ensemble: LoadedEnsemble, images: list[NDArray[Any]], pixel_nm: float, helpers: Sharing) -> Callable[[int], tuple[float, NDArray[Any]]]:
    def once(turn: int) -> tuple[float, NDArray[Any]]:
        began = time.perf_counter()
        answer = _answer(ensemble, images[turn % len(images)], pixel_nm, helpers)
        return time.perf_counter() - began, answer.atoms[:, :2]

    return once


def _in_turns(cases: Mapping[str, Callable[[int], tuple[float, NDArray[Any]]]], rounds: int) -> dict[str, tuple[list[float], NDArray[Any]]]:
    """Seconds of each case's rounds, after one that warms up, and the atoms of its last."""
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    atoms: dict[str, NDArray[Any]] = {}
    for turn in range(-1, rounds):
        for name, once in cases.items():
            took, atoms[name] = once(max(turn, 0))
            if turn >= 0:
                seconds[name].append(took)
        print(f"round {turn + 1} of {rounds}", file=sys.stderr, flush=True)
    return {name: (seconds[name], atoms[name]) for name in cases}


def _summed(seconds: list[float], peers: list[float]) -> Figures:
    """Median, and how many times as fast as the peer: the median of the ratios within a round."""
    return {
        "ms": 1000 * statistics.median(seconds),
        "p99_ms": 1000 * float(np.percentile(seconds, 99)),
        "times_as_fast": statistics.median(theirs / ours for theirs, ours in zip(peers, seconds, strict=True)),
    }


def _errors(runs: Mapping[str, LoadedEnsemble], image: NDArray[Any], pixel_nm: float) -> Figures:
    """How far other ways are from the first, float32, on the same weights: probabilities and std of a frame, and the atoms' positions."""
    exact, *others = runs.values()
    right = _answer(exact, image, pixel_nm)
    out: Figures = {}
    for run in others:
        found = _answer(run, image, pixel_nm)
        i, j = match(found.atoms[:, :2], right.atoms[:, :2], 2.0)
        moved = np.linalg.norm(found.atoms[i, :2] - right.atoms[j, :2], axis=1)
        out[str(run.way)] = {
            "mean": _error(found.mean, right.mean),
            "std": _error(found.std, right.std),
            "atoms": {"exact": len(right.atoms), "here": len(found.atoms), "both": len(i), "moved_px_worst": float(moved.max(initial=0.0))},
        }
    return out


def _error(found: NDArray[np.float32] | None, right: NDArray[np.float32] | None) -> Figures:
    assert found is not None
    assert right is not None
    apart = np.abs(found - right)
    return {"mean": float(apart.mean()), "worst": float(apart.max())}


def _large() -> tuple[NDArray[np.float32], list[NDArray[np.float32]], NDArray[np.float64]]:
    """A mean map (1, rows, columns) with atoms near a lattice, eight members' maps, and the true centres."""
    rng = np.random.default_rng(0)
    lattice = np.stack(np.meshgrid(np.arange(_ACROSS), np.arange(_ACROSS), indexing="ij"), -1).reshape(-1, 2)
    true = (lattice + 0.5) * _LARGE_PX / _ACROSS + rng.normal(0, 0.8, lattice.shape)
    clean = soft_disks(true, 4.0, (_LARGE_PX, _LARGE_PX)).astype(np.float32)
    members = [np.clip(clean + rng.normal(0, 0.01, clean.shape).astype(np.float32), 0, 1)[None] for _ in range(MEMBERS)]
    return np.mean(members, axis=0, dtype=np.float32), members, true


def _located(mean: NDArray[np.float32], members: tuple[Any, ...] | list[Any], each: Callable[..., Any]) -> tuple[float, NDArray[Any]]:
    began = time.perf_counter()
    atoms = locate(mean, None, members, 0.5, each)
    return time.perf_counter() - began, atoms[:, :2]


def _accuracy(atoms: NDArray[Any], true: NDArray[np.float64]) -> Figures:
    inner = true[((true >= _EDGE_PX) & (true <= _LARGE_PX - _EDGE_PX)).all(axis=1)]
    i, j = match(atoms, inner, 2.0)
    return {"atoms": len(atoms), "matched": len(i), "known": len(inner), "rmse_px": float(np.sqrt(np.mean((atoms[i] - inner[j]) ** 2) * 2))}


class _AtomAI:
    """Its own process, which waits while we work."""

    def __init__(self, packages: Path, ensemble: Path, images: list[NDArray[Any]], mean: NDArray[np.float32], scratch: Path, device: Device) -> None:
        np.savez(scratch / "frames.npz", images=np.stack(images), allow_pickle=False)
        np.savez(scratch / "maps.npz", mean=mean.transpose(1, 2, 0)[None], allow_pickle=False)
        worker = Path(__file__).with_name("atomai_frames.py")
        command = [sys.executable, str(worker), str(packages), str(ensemble), str(scratch / "frames.npz"), str(scratch / "maps.npz")]
        # It takes a GPU where it sees one.
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""} if device == "cpu" else None
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        self._images = len(images)

    def frame(self, turn: int) -> tuple[float, NDArray[Any]]:
        return self._ask(f"frame {turn % self._images}")

    def locate(self) -> tuple[float, NDArray[Any]]:
        return self._ask("locate")

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _ask(self, what: str) -> tuple[float, NDArray[Any]]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(what + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return answer["seconds"], np.array(answer["atoms"], float).reshape(-1, 2)


if __name__ == "__main__":
    main()
