"""Real frames: `python benchmarks/real.py FRAMES WORK [--only graphene|pt|mos2] [--report FILE] [--json FILE]`.

FRAMES is a folder with graphene_si_movie.npz, pt_on_carbon_*.npz (with clicked positions) and mos2_*.npz.

graphene  the shipped ensemble on a movie of graphene with three silicon atoms, then refined on its first six frames
pt        single Pt atoms on carbon, learned from labelled frames, leaving two of six out in turn, beside a classical finder
mos2      both sublattices of a monolayer, told apart by a refinement with two classes
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atomstream_models.analysis import Answer, finish
from atomstream_models.baseline import log_atoms
from atomstream_models.bundle import Bundle, open_bundle, shipped_bundles
from atomstream_models.evaluation import Detection, Truth, detection, pooled
from atomstream_models.movies import read_movie
from atomstream_models.report import Section, Stage, StageRow, Table, stages_figure, write_report
from atomstream_models.runtime import load_ensemble, look
from atomstream_models.training import Run, load_recipe, refine, train_ensemble
from atomstream_models.training.data import crops
from atomstream_models.training.executors import LocalExecutor

Figures = dict[str, Any]
Frames = Sequence[NDArray[Any]]

_PT_MATCH_PX = 5.0
_PT_RADIUS_PX = 4.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("frames", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--only", choices=tuple(_PARTS))
    parser.add_argument("--jobs", type=int)
    parser.add_argument("--report", type=Path, default=Path("real-frames.html"))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    figures, sections = {}, []
    for name, part in _PARTS.items():
        if given.only in (None, name):
            figures[name], section = part(given.frames, given.work, LocalExecutor(given.jobs))
            sections.append(section)
    write_report(given.report, "Real frames", sections)
    text = json.dumps(figures, indent=2)
    print(text)
    if given.json is not None:
        given.json.write_text(text + "\n", encoding="utf-8")


def graphene(frames: Path, work: Path, executor: LocalExecutor) -> tuple[Figures, Section]:
    """Counts of host and silicon atoms in each frame, before and after a refinement on the first six."""
    images, pixel_nm = read_movie(frames / "graphene_si_movie.npz")
    first = open_bundle(shipped_bundles()["graphene"])
    recipe = load_recipe("refine", ["classes=['host','impurity']", "data.crop_px=128", "training.members=4", "training.steps=500", "training.batch=12"])
    done = refine(list(images), pixel_nm, first, recipe, work / "graphene", executor, use=range(6))
    refined = open_bundle(done[-1].run.bundle)
    before, after = (_answers(bundle, list(images), pixel_nm) for bundle in (first, refined))
    counts = {name: [_counts(one, 2) for one in answers] for name, answers in (("before", before), ("after", after))}
    figures: Figures = {name: {"host": [one[0] for one in rows], "silicon": [one[1] for one in rows]} for name, rows in counts.items()}
    figures["labels"] = done[-1].counts
    rows = [StageRow(f"frame {k}", images[k], [Stage("shipped", before[k].mean), Stage("refined", after[k].mean)]) for k in (0, 6, 11)]
    table = Table(
        ("frame", "host, shipped", "Si, shipped", "host, refined", "Si, refined"), [[k, *counts["before"][k], *counts["after"][k]] for k in range(len(images))]
    )
    return figures, Section("Graphene with a silicon trimer", "", [stages_figure(rows, ("host", "impurity"), pixel_nm=pixel_nm)], [table])


def pt(frames: Path, work: Path, executor: LocalExecutor) -> tuple[Figures, Section]:
    """F1 on each labelled frame by members that never saw it, and by the classical finder."""
    files = sorted(frames.glob("pt_on_carbon_*.npz"))
    images, truths = [], []
    for file in files:
        with np.load(file) as arrays:
            images.append(arrays["image"].astype(np.float32))
            places = arrays["atoms_yx"].astype(np.float64)
        truths.append(Truth(places, np.ones(len(places), bool), _PT_MATCH_PX))
    found: dict[int, Answer] = {}
    for fold in range(0, len(files), 2):
        learned = [k for k in range(len(files)) if k not in (fold, fold + 1)]
        bundle = _train_on([images[k] for k in learned], [truths[k].atoms_yx for k in learned], work / f"pt-{fold}", executor)
        left_out = [k for k in (fold, fold + 1) if k < len(files)]
        found |= dict(zip(left_out, _answers(bundle, [images[k] for k in left_out], None), strict=True))
    ours = [detection(found[k].atoms, truth) for k, truth in enumerate(truths)]
    classical = [detection(log_atoms(image), truth) for image, truth in zip(images, truths, strict=True)]
    figures = {"ensemble": _scores(ours, files), "log": _scores(classical, files)}
    rows = [StageRow(files[k].stem, images[k], [Stage("left out of training", found[k].mean, f"F1 {ours[k].f1:.2f}")]) for k in range(0, len(files), 2)]
    table = Table(("frame", "ensemble F1", "LoG F1"), [[file.stem, a.f1, b.f1] for file, a, b in zip(files, ours, classical, strict=True)])
    return figures, Section("Single Pt atoms on carbon, two frames left out in turn", "", [stages_figure(rows, ("Pt",))], [table])


def mos2(frames: Path, work: Path, executor: LocalExecutor) -> tuple[Figures, Section]:
    """Both sublattices of MoS2: found by the shipped ensemble as one class, told apart after a refinement with two."""
    first, figures, rows = open_bundle(shipped_bundles()["graphene"]), {}, []
    for file in sorted(frames.glob("mos2_*.npz")):
        images, pixel_nm = read_movie(file)
        changes = ["classes=['S','Mo']", "data.classes_by='gmm'", "data.crop_px=128", "training.members=4", "training.steps=400", "training.batch=12"]
        done = refine(list(images), pixel_nm, first, load_recipe("refine", changes), work / file.stem, executor)
        refined = open_bundle(done[-1].run.bundle)
        (before,), (after,) = (_answers(bundle, list(images), pixel_nm) for bundle in (first, refined))
        figures[file.stem] = {"atoms_shipped": len(before.atoms), "sulphur_and_molybdenum": _counts(after, 2), "labels": done[-1].counts}
        rows.append(StageRow(file.stem, images[0], [Stage("refined, two classes", after.mean)]))
    return figures, Section("Monolayer MoS2", "", [stages_figure(rows, ("S", "Mo"))])


_PARTS: dict[str, Callable[[Path, Path, LocalExecutor], tuple[Figures, Section]]] = {"graphene": graphene, "pt": pt, "mos2": mos2}


def _train_on(images: Frames, places: Sequence[NDArray[np.float64]], folder: Path, executor: LocalExecutor) -> Bundle:
    """An ensemble that has learned from labelled frames."""
    # Faint atoms on carbon of all thicknesses: a few frames must stand for many backgrounds and contrasts, but are noisy enough as they are.
    intensity = ["noise=[0.02,0.3]", "background=[0.0,2.0]", "contrast=[0.6,1.6]"]
    changes = [
        *("name='pt'", "classes=['Pt']", "data.crop_px=128", "augmentation.geometry.zoom=[1.0,1.5]"),
        *(f"augmentation.intensity.{one}" for one in intensity),
        *("training.members=3", "training.steps=500", "training.batch=12", "training.loss='dice'"),
    ]
    recipe = load_recipe("refine", changes)
    kinds = [np.zeros(len(one), np.int64) for one in places]
    data = crops(images, places, kinds, classes=1, side_px=128, count=400, seed=1, radius_px=_PT_RADIUS_PX, validation=32, held_out=len(images) - 1)
    run = Run(folder)
    train_ensemble(recipe, run, executor, data=data)
    return open_bundle(run.bundle)


def _answers(bundle: Bundle, images: Frames, pixel_nm: float | None) -> list[Answer]:
    ensemble = load_ensemble(bundle)
    answers = [finish(inferred, bundle.card) for inferred in look(ensemble, images, pixel_nm)]
    ensemble.close()
    return answers


def _counts(answer: Answer, classes: int) -> list[int]:
    return [int((answer.atoms[:, 2] == k).sum()) for k in range(classes)]


def _scores(found: Sequence[Detection], files: Sequence[Path]) -> Figures:
    together = pooled(found)
    each = {file.stem: round(one.f1, 4) for file, one in zip(files, found, strict=True)}
    return {"f1": together.f1, "precision": together.precision, "recall": together.recall, "mean_f1": float(np.mean([one.f1 for one in found])), "each": each}


if __name__ == "__main__":
    main()
