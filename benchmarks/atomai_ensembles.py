"""Ensembles of AtomAI's Unet, for AtomAI and for us: `python benchmarks/atomai_ensembles.py WORK` writes both into WORK, where they are found again.

preset : 16 filters, layers 1-2-2-3, as AtomAI has it unless told otherwise; eight members out of WORK/preset, which `frames_versus_atomai.py --train` fills
paper : 64 filters, layers 2-3-3-4, as large as the networks of the paper on ensemble learning and iterative training; one member, untrained,
    that finds no atoms
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import torch

from atomstream_models.bundle import Bundle, open_bundle
from atomstream_models.training.atomai import import_checkpoints
from atomstream_models.training.networks.atomai import AtomAISettings, build_atomai

MEMBERS = 8
_PIXEL_SIZE_NM = (0.0075, 0.016)
_SURELY_NOTHING = -8.0
"""Logit of an untrained network, so that noise is not taken for thousands of atoms."""


def preset(work: Path) -> tuple[Path, Bundle]:
    """AtomAI's preset as its EnsembleTrainer saves an ensemble, and as a bundle."""
    tar = work / "preset.tar"
    if not tar.exists():
        files = sorted((work / "preset").rglob("weights.pt"))
        weights = {k: torch.load(files[k % len(files)], weights_only=True) for k in range(MEMBERS)}
        for k, one in weights.items():
            one["px.bias"] = one["px.bias"] + 1e-3 * (k // len(files))  # no two members may be the same
        _save(tar, weights, AtomAISettings("Unet", _channels(weights[0]), 16, (1, 2, 2, 3)))
    return tar, _imported(tar)


def paper(work: Path) -> Bundle:
    """A member as large as the paper's."""
    tar = work / "paper.tar"
    if not tar.exists():
        torch.manual_seed(0)
        settings = AtomAISettings("Unet", 1, 64, (2, 3, 3, 4))
        weights = build_atomai(settings).state_dict()
        weights["px.bias"] = torch.full_like(weights["px.bias"], _SURELY_NOTHING)
        _save(tar, {0: weights}, settings)
    return _imported(tar)


def _save(tar: Path, weights: Mapping[int, Mapping[str, torch.Tensor]], settings: AtomAISettings) -> None:
    about = {"model_type": "seg", "model": settings.kind, "nb_classes": settings.channels, "nb_filters": settings.filters, "layers": list(settings.layers)}
    options = {"batch_norm": True, "dropout": False, "upsampling": "bilinear", "with_dilation": False}
    torch.save({**about, **options, "weights": {k: dict(one) for k, one in weights.items()}}, tar)


def _imported(tar: Path) -> Bundle:
    folder = tar.with_name(f"imported-{tar.stem}")
    if not folder.exists():
        one_class = _channels(torch.load(tar, weights_only=True)["weights"][0]) == 1
        classes = ["atom"] if one_class else ["host", "impurity"]
        import_checkpoints([tar], folder, name=tar.stem, version="1", classes=classes, pixel_size_nm=_PIXEL_SIZE_NM, threshold=0.5)
    return open_bundle(folder)


def _channels(weights: Mapping[str, torch.Tensor]) -> int:
    return int(weights["px.weight"].shape[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    work = parser.parse_args().work
    work.mkdir(exist_ok=True)
    if (work / "preset").exists() or (work / "preset.tar").exists():
        print(preset(work)[1].folder)
    print(paper(work).folder)


if __name__ == "__main__":
    main()
