"""What shipped ensembles find on fresh simulated movies and on ladders of noise: `python benchmarks/shipped.py [BUNDLE ...] [--json FILE]`.

Movies and ladders are drawn with seeds that no training uses. Mild = the first 8 frames of a movie, drifting = the 24 after them.
Localisation is compared with the Cramér-Rao bound of the same frames. `clear_class_f1` leaves out labelled atoms that make one spot with
contamination on top of them: closer than the Sparrow limit, two standard deviations of the probe.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from atomstream_models.analysis import finish
from atomstream_models.bundle import find_bundle, open_bundle
from atomstream_models.evaluation import Detection, Truth, class_detections, compare, detection, pooled, truth_of
from atomstream_models.runtime import LoadedEnsemble, load_ensemble, look
from atomstream_models.simulation import UNLABELLED, Exposure, Material, MicroscopeFrame, SimulatedMicroscope, localisation_limit_px, scan

Figures = dict[str, Any]

MATERIALS: dict[str, tuple[Material, ...]] = {"graphene": ("graphene",), "perovskite": ("perovskite", "rock-salt")}
MILD, DRIFT = 8, 24
SPARROW = 2.0
"""Two Gaussian spots closer than this many standard deviations have one maximum."""
DOSES = (1.0, 1 / 4, 1 / 16, 1 / 64, 1 / 128, 1 / 256)
"""Rungs of the ladder: shares of the mild dose, everything else mild."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", nargs="*", default=["graphene", "perovskite"], metavar="BUNDLE", help="shipped ensembles, or folders of such")
    parser.add_argument("--seeds", type=int, nargs="+", default=[7001, 7002, 7003], help="movies of each material")
    parser.add_argument("--shape", type=int, nargs=2, default=[512, 512], metavar=("ROWS", "COLUMNS"))
    parser.add_argument("--every", type=int, default=1, help="use every Nth frame only")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    results: Figures = {}
    for name in given.bundles:
        bundle = open_bundle(find_bundle(name, Path(tempfile.gettempdir())))
        ensemble = load_ensemble(bundle)
        for material in MATERIALS[bundle.card.name]:
            judged = _material(ensemble, material, given.seeds, tuple(given.shape), given.every)
            results[f"{bundle.card.name} {bundle.card.version} on {material}"] = judged
            print(f"\n{bundle.card.name} {bundle.card.version} on {material}")
            _print(judged)
        ensemble.close()
    if given.json is not None:
        date = datetime.now(UTC).isoformat(timespec="seconds")
        figures = {"date": date, "versions": _versions(), "seeds": given.seeds, "shape": given.shape, "results": results}
        given.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def _material(ensemble: LoadedEnsemble, material: Material, seeds: Sequence[int], shape: tuple[int, int], every: int) -> Figures:
    out: Figures = {}
    movies = [movie(seed, shape, material) for seed in seeds]
    for name, part in (("mild", slice(0, MILD, every)), ("drifting", slice(MILD, None, every))):
        out[name] = _judge(ensemble, [frame for movie in movies for frame in movie[part]])
    for dose in DOSES:
        first = [movie[0].exposure for movie in movies]
        rung = [scan(dimmed(exposure, dose), np.random.default_rng(seed)) for exposure, seed in zip(first, seeds, strict=True)]
        out[f"{rung[0].exposure.noise.counts_per_host:.3g} counts"] = _judge(ensemble, rung)
    return out


def movie(seed: int, shape: tuple[int, int], material: Material) -> list[MicroscopeFrame]:
    microscope = SimulatedMicroscope(seed, shape, material=material, mild=MILD, drift=DRIFT)
    return [microscope.next_frame() for _ in range(MILD + DRIFT)]


def dimmed(exposure: Exposure, dose: float) -> Exposure:
    return replace(exposure, noise=replace(exposure.noise, counts_per_host=exposure.noise.counts_per_host * dose))


def _judge(ensemble: LoadedEnsemble, frames: Sequence[MicroscopeFrame]) -> Figures:
    overall: list[Detection] = []
    by_class: list[tuple[Detection, ...]] = []
    by_class_clear: list[tuple[Detection, ...]] = []
    limits: list[float] = []
    card = ensemble.card
    for frame in frames:
        inferred = next(look(ensemble, [frame.image], frame.pixel_nm))
        atoms, truth = finish(inferred, card).atoms, truth_of(frame)
        compared = compare(atoms, truth)
        overall.append(detection(atoms, truth, compared))
        by_class.append(class_detections(atoms, truth, len(card.classes), compared))
        by_class_clear.append(class_detections(atoms, _clear(frame, truth), len(card.classes)))
        limits.append(localisation_limit_px(frame, most=40))
    together = pooled(overall)
    limit = float(np.sqrt(np.mean(np.square(limits))))
    return {
        "frames": len(frames),
        "f1": together.f1,
        "worst_f1": min(one.f1 for one in overall),
        "precision": together.precision,
        "recall": together.recall,
        "class_f1": _class_f1(card.classes, by_class),
        "clear_class_f1": _class_f1(card.classes, by_class_clear),
        "rmse_px": together.rmse_px,
        "rmse_pm": together.rmse_pm,
        "bias_px": together.bias_px,
        "limit_px": limit,
        "rmse_over_limit": together.rmse_px / limit,
    }


def _clear(frame: MicroscopeFrame, truth: Truth) -> Truth:
    """The truth without labelled atoms that contamination covers."""
    dirt = frame.atoms_yx[frame.kinds == UNLABELLED]
    if not len(dirt):
        return truth
    imaging = frame.exposure.imaging
    sigma_px = float(np.mean(imaging.probe_nm)) / imaging.pixel_nm
    apart = np.asarray(cKDTree(dirt).query(frame.atoms_yx)[0]) > SPARROW * sigma_px
    return replace(truth, required=truth.required & apart)


def _class_f1(classes: Sequence[str], scores: Sequence[tuple[Detection, ...]]) -> dict[str, float]:
    together = [pooled(column) for column in zip(*scores, strict=True)]
    return {name: one.f1 for name, one in zip(classes, together, strict=True) if one.found + one.missed}


def _print(judged: Figures) -> None:
    for name, one in judged.items():
        classes = ", ".join(f"{label} {value:.4f} (clear {one['clear_class_f1'].get(label, 1):.4f})" for label, value in one["class_f1"].items())
        print(
            f"{name:>12}: F1 {one['f1']:.5f} (worst frame {one['worst_f1']:.4f}), {classes}, "
            f"error {one['rmse_px']:.3f} px = {one['rmse_pm']:.1f} pm, {one['rmse_over_limit']:.2f} times the limit"
        )


def _versions() -> Figures:
    return {**{name: version(name) for name in ("atomstream", "onnxruntime", "numpy")}, "machine": platform.platform(), "processors": os.cpu_count()}


if __name__ == "__main__":
    main()
