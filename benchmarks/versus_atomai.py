"""Our training against AtomAI's: same images, same network (AtomAI's Unet), same number of gradient steps, in turns on this machine.

    python benchmarks/versus_atomai.py WORK --prepare     # once: AtomAI 0.8.1 into WORK/packages, without what would replace torch
    python benchmarks/versus_atomai.py WORK [--json FILE]

Each trains one member after the other on one thread. Both are judged by the same code through the same path, a bundle: IoU on held-out
images, and F1 on the mild half of the simulated microscope's movie.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from atomstream_models.bundle import open_bundle
from atomstream_models.evaluation import Truth, evaluate, truth_of
from atomstream_models.runtime import LoadedEnsemble, load_ensemble, look
from atomstream_models.simulation import SimulatedMicroscope, disks
from atomstream_models.training import MemberJob, Recipe, load_recipe, pack_members, parse_recipe, train_member
from atomstream_models.training.atomai import import_checkpoints
from atomstream_models.training.augment import AtomAIAugmentation, Batch, augment
from atomstream_models.training.data import SimulatedData, masked_set, simulate

Figures = dict[str, Any]

_PACKAGES = ("atomai==0.8.1", "gpytorch", "linear_operator", "jaxtyping", "wadler_lindig", "scikit-image", "imageio", "lazy_loader", "pandas", "pytz")
_TRAIN, _TEST, _SIDE = 1500, 160, 64
_PIXEL_NM = (0.008, 0.014)
_MASK_RADIUS_PX = 3.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--prepare", action="store_true")
    parser.add_argument("--members", type=int, default=3)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.prepare:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(given.work / "packages")]
        subprocess.run([*pip, *_PACKAGES], check=True)
        return
    given.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    images = _images(given.work / "set.npz")
    rounds = [_round(given.work, given.steps, k) for k in range(given.members)]
    figures = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {name: version(name) for name in ("atomstream", "torch", "onnxruntime", "numpy")} | {"atomai": "0.8.1"},
        "machine": f"{platform.platform()}, {os.cpu_count()} processors",
        "steps": given.steps,
        "seconds": {who: [one[who] for one in rounds] for who in ("atomai", "atomstream")},
        "time_ratio": statistics.median(one["atomstream"] / one["atomai"] for one in rounds),
        "quality": {who: _judge(given.work, who, given.members, images) for who in ("atomai", "atomstream")},
    }
    text = json.dumps(figures, indent=2)
    print(text)
    if given.json is not None:
        given.json.write_text(text + "\n", encoding="utf-8")


def _images(file: Path) -> dict[str, NDArray[np.float32]]:
    """Images with noise and masks, the same files for both."""
    if not file.exists():
        recipe = load_recipe("elit-graphene")
        assert isinstance(recipe.data, SimulatedData)
        data = simulate(recipe.data.model_copy(update={"patches": _TRAIN, "validation": _TEST, "patch_px": _SIDE}), 1, seed=5)
        nothing = torch.full((len(data), 1, 2), torch.nan)
        batch = Batch(torch.from_numpy(data.images.astype(np.float32)), nothing, nothing[..., 0].long(), torch.ones(len(data)))
        noise = AtomAIAugmentation(gauss_noise=(0, 300), poisson_noise=(30, 45), contrast=(5, 19))
        images = augment(batch, noise, torch.Generator().manual_seed(5)).images.numpy()
        masks = np.stack([disks(atoms[kinds >= 0], _MASK_RADIUS_PX, (_SIDE, _SIDE)) for atoms, kinds in zip(data.atoms_yx, data.kinds, strict=True)])
        parts = {"images": images[:_TRAIN], "masks": masks[:_TRAIN], "test_images": images[_TRAIN:], "test_masks": masks[_TRAIN:]}
        np.savez(file, allow_pickle=False, **parts)
    with np.load(file) as arrays:
        return {name: arrays[name].astype(np.float32) for name in arrays.files}


def _recipe(steps: int) -> Recipe:
    """AtomAI's defaults: its Unet, batches of 32, constant rate 1e-3, the last 30 steps averaged, no augmentation."""
    return parse_recipe(
        {
            "name": "ours",
            "classes": ["atom"],
            "pixel_size_nm": list(_PIXEL_NM),
            "normalization": {"name": "minmax"},
            "data": {"kind": "prepared", "validation": _TEST},
            "augmentation": {"kind": "atomstream", "geometry": {"flips": False, "turns": False}},
            "networks": [{"kind": "atomai-unet"}],
            "training": {
                "members": 1,
                "steps": steps,
                "batch": 32,
                "rate": 1e-3,
                "swa_rate": 1e-3,
                "schedule": "constant",
                "weight_decay": 0.0,
                "swa_share": min(0.9, 30 / steps),
                "swa_every": 1,
                "validate_every": 100,
            },
        },
        "versus",
    )


def _round(work: Path, steps: int, k: int) -> Figures:
    """One member each, AtomAI's first in even rounds and ours first in odd ones; the seconds that their trainings took."""
    turns = [("atomai", _atomai), ("atomstream", _ours)]
    found = {who: train(work, steps, k) for who, train in (turns if k % 2 == 0 else turns[::-1])}
    print(f"member {k}: {found}", flush=True)
    return found


def _atomai(work: Path, steps: int, k: int) -> float:
    worker = Path(__file__).with_name("atomai_member.py")
    command = [sys.executable, str(worker), str(work / "packages"), str(work / "set.npz"), str(steps), str(k + 1), str(work / f"atomai{k}.tar")]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return float(json.loads(done.stdout.splitlines()[-1])["seconds"])


def _ours(work: Path, steps: int, k: int) -> float:
    recipe, data = _recipe(steps), work / "data"
    if not data.exists():
        with np.load(work / "set.npz") as arrays:
            both = [np.concatenate([arrays[name], arrays[f"test_{name}"]]) for name in ("images", "masks")]
        masked_set(both[0].astype(np.float32), both[1]).save(data)
    began = time.perf_counter()
    train_member(MemberJob(recipe, k, data, work / f"ours{k}"))
    return time.perf_counter() - began


def _judge(work: Path, who: str, members: int, images: dict[str, NDArray[np.float32]]) -> Figures:
    """IoU on the held-out images, and F1 on the mild frames of a movie, of each member and of all together."""
    ensemble = _loaded(work, who, members)
    overlaps = []
    for image, mask in zip(images["test_images"], images["test_masks"], strict=True):
        found = np.stack(ensemble.run(image[None, None], ensemble.card.member_ids))[:, 0] > 0.5
        overlaps.append([((one & (mask > 0)).sum(), (one | (mask > 0)).sum()) for one in found])
    total = np.array(overlaps).sum(axis=0)
    microscope = SimulatedMicroscope(31, (256, 256))
    frames = [microscope.next_frame() for _ in range(8)]
    truths = {k: truth_of(frame) for k, frame in enumerate(frames)}
    merged = {k: Truth(one.atoms_yx, one.required, one.match_px, None, one.pixel_nm) for k, one in truths.items()}
    looked = enumerate(look(ensemble, [frame.image for frame in frames], frames[0].pixel_nm))
    judged = evaluate(looked, ensemble.card, merged, pixel_nm=frames[0].pixel_nm)
    ensemble.close()
    assert judged.overall is not None
    return {
        "validation_iou": (total[:, 0] / total[:, 1]).tolist(),
        "movie_f1_of_each": [one.f1 for one in judged.by_member.values()],
        "movie_f1": judged.overall.f1,
    }


def _loaded(work: Path, who: str, members: int) -> LoadedEnsemble:
    out = work / f"{who}-bundle"
    if who == "atomai":
        files = [work / f"atomai{k}.tar" for k in range(members)]
        if not out.exists():
            import_checkpoints(files, out, name="atomai", version="1", classes=["atom"], pixel_size_nm=_PIXEL_NM, threshold=0.5)
    elif not out.exists():
        recipe = _recipe(1).model_copy(update={"threshold": 0.5})
        pack_members(recipe, [MemberJob(recipe, k, work / "data", work / f"ours{k}") for k in range(members)], out, {})
    return load_ensemble(open_bundle(out))


if __name__ == "__main__":
    main()
