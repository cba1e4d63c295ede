"""Architectures of accuracy against time: `python benchmarks/front.py BUNDLE ... [--members N] [--plot FILE] [--json FILE]`.

Every bundle is an ensemble of another architecture trained on the same data; all are judged with the same number of members on the same simulated movies
of graphene, which no training uses, as they drift, and on a mild frame at less and less dose. Whole frames of 512x512 pixels, from pixels to atoms, are
timed in every way that this machine has, all taking turns. The std maps are compared with those of the first bundle.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.ticker import FixedLocator, NullFormatter
from numpy.typing import NDArray
from shipped import MILD, dimmed, movie

from atomstream_models.analysis import Inferred, finish, infer, prepare
from atomstream_models.bundle import Bundle, find_bundle, open_bundle
from atomstream_models.each import Sharing
from atomstream_models.evaluation import Evaluation, evaluate, truth_of
from atomstream_models.locate import foreground_of
from atomstream_models.runtime import LoadedEnsemble, load_ensemble, load_in, look, processors, ways_here
from atomstream_models.simulation import MicroscopeFrame, SimulatedMicroscope, scan

Figures = dict[str, Any]

_SHAPE = (512, 512)
_EVERY = 2
_SEEDS = (7001, 7002, 7003)
_DIM = (1 / 64, 1 / 128, 1 / 256)
"""Shares of the mild dose."""
_TICKS_MS = (5, 10, 20, 50, 100, 200, 500, 1000)
_MARKERS = {"float32": "o", "bfloat16": "s", "float16": "s"}
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
"""Okabe and Ito's, which the colour-blind tell apart."""


@dataclass(frozen=True)
class Candidate:
    """One architecture.

    name : architecture and version
    members : those that are used
    """

    name: str
    bundle: Bundle
    members: tuple[str, ...]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", nargs="+", metavar="BUNDLE", help="folders of bundles, or names of shipped ones")
    parser.add_argument("--members", type=int, default=8, help="the first so many of each, and no more than the smallest has (8)")
    parser.add_argument("--rounds", type=int, default=15, help="frames timed in each way (15)")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    opened = [open_bundle(find_bundle(name, Path(tempfile.gettempdir()))) for name in given.bundles]
    count = min(given.members, *(len(one.card.members) for one in opened))
    candidates = [Candidate(_name(one), one, one.card.member_ids[:count]) for one in opened]
    sets = _frames()
    judged = _judged(candidates, sets)
    times = _times(candidates, given.rounds)
    machine = f"{platform.platform()}, {os.cpu_count()} processors"
    figures = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {name: version(name) for name in ("atomstream", "onnxruntime", "openvino", "numpy")},
        "machine": machine,
        "members": count,
        "frames": {name: len(frames) for name, frames in sets.items()},
        "architectures": {one.name: {"ms": times[one.name], **judged[one.name]} for one in candidates},
    }
    _print(figures)
    if given.json is not None:
        given.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    if given.plot is not None:
        _plot(figures, given.plot)


def _name(bundle: Bundle) -> str:
    architectures = sorted({member.architecture for member in bundle.card.members})
    return f"{', '.join(architectures)} ({bundle.card.name} {bundle.card.version})"


def _frames() -> dict[str, list[MicroscopeFrame]]:
    movies = [movie(seed, _SHAPE, "graphene") for seed in _SEEDS]
    sets = {"drifting": [frame for one in movies for frame in one[MILD::_EVERY]]}
    for share in _DIM:
        rung = [scan(dimmed(one[0].exposure, share), np.random.default_rng(seed)) for seed, one in zip(_SEEDS, movies, strict=True)]
        sets[f"{rung[0].exposure.noise.counts_per_host:.2g} electrons"] = rung
    return sets


def _judged(candidates: Sequence[Candidate], sets: Mapping[str, list[MicroscopeFrame]]) -> dict[str, Figures]:
    loaded = {one.name: load_ensemble(one.bundle) for one in candidates}
    out: dict[str, Figures] = {one.name: {} for one in candidates}
    for name, frames in sets.items():
        std_of_first: list[NDArray[np.float32]] = []
        for candidate in candidates:
            stds: list[NDArray[np.float32]] = []
            looked = _seen(loaded[candidate.name], candidate, frames, stds)
            evaluated = evaluate(enumerate(looked), candidate.bundle.card, {k: truth_of(frame) for k, frame in enumerate(frames)})
            std_of_first = std_of_first or stds
            out[candidate.name][name] = _figures(evaluated, stds, std_of_first)
            print(f"{candidate.name}, {name}: F1 {out[candidate.name][name]['f1']:.5f}", flush=True)
    for one in loaded.values():
        one.close()
    return out


def _seen(ensemble: LoadedEnsemble, candidate: Candidate, frames: Iterable[MicroscopeFrame], stds: list[NDArray[np.float32]]) -> Iterator[Inferred]:
    for frame in frames:
        (inferred,) = look(ensemble, [frame.image], frame.pixel_nm, candidate.members)
        stds.append(np.std([foreground_of(one) for one in inferred.maps], axis=0, dtype=np.float32))
        yield inferred


def _figures(evaluated: Evaluation, stds: Sequence[NDArray[np.float32]], first: Sequence[NDArray[np.float32]]) -> Figures:
    overall, calibration, agreement = evaluated.overall, evaluated.calibration, evaluated.agreement
    assert overall is not None
    assert calibration is not None
    return {
        "f1": overall.f1,
        "precision": overall.precision,
        "recall": overall.recall,
        "class_f1": [one.f1 for one in evaluated.by_class or ()],
        "rmse_px": overall.rmse_px,
        "member_f1": {member: one.f1 for member, one in evaluated.by_member.items()},
        "members_agree_f1": None if agreement is None else agreement.mean_f1,
        "median_std": evaluated.median_std,
        "std_tells_wrong_pixels_auroc": calibration.pixel_auroc,
        "p_std_tells_wrong_atoms_auroc": calibration.atom_auroc,
        "std_against_the_first": [float(np.corrcoef(one.ravel(), other.ravel())[0, 1]) for one, other in zip(stds, first, strict=True)],
    }


def _times(candidates: Sequence[Candidate], rounds: int) -> dict[str, Figures]:
    microscope = SimulatedMicroscope(41, _SHAPE)
    made = [microscope.next_frame() for _ in range(3)]
    ways = ways_here("auto", "auto", "fast")[0]
    loaded = {(one.name, str(way)): load_in(way, one.bundle, None) for one in candidates for way in ways}
    members = {one.name: one.members for one in candidates}
    took: dict[tuple[str, str], list[float]] = {key: [] for key in loaded}
    with Sharing(processors()) as helpers:
        for turn in range(-1, rounds):
            frame = made[turn % len(made)]
            for (name, way), ensemble in loaded.items():
                ms = _frame_ms(ensemble, members[name], frame, helpers.each)
                if turn >= 0:
                    took[name, way].append(ms)
    bits = {str(way): way.bits for way in ways}
    out: dict[str, Figures] = {one.name: {} for one in candidates}
    for (name, way), all_ms in took.items():
        out[name][way] = {"bits": bits[way], "median": statistics.median(all_ms), "least": min(all_ms)}
    for ensemble in loaded.values():
        ensemble.close()
    return out


def _frame_ms(ensemble: LoadedEnsemble, members: Sequence[str], frame: MicroscopeFrame, each: Callable[..., Any]) -> float:
    began = time.perf_counter()
    prepared = prepare(frame.image, (frame.pixel_nm, frame.pixel_nm), ensemble.card)
    finish(infer(prepared, ensemble.card, members, ensemble.answer, each), ensemble.card, each)
    return 1000 * (time.perf_counter() - began)


def _print(figures: Figures) -> None:
    for name, one in figures["architectures"].items():
        print(f"\n{name}, {figures['members']} members")
        for way, ms in one["ms"].items():
            print(f"  {ms['median']:8.1f} ms  {way}")
        for label in figures["frames"]:
            found = one[label]
            alike = statistics.median(found["std_against_the_first"])
            print(
                f"  {label:>18}: F1 {found['f1']:.5f}, error {found['rmse_px']:.3f} px, std {found['median_std']:.3f}, like the first's {alike:.2f}, "
                f"tells wrong pixels {found['std_tells_wrong_pixels_auroc']:.3f}, wrong atoms {found['p_std_tells_wrong_atoms_auroc']:.3f}"
            )


def _plot(figures: Figures, file: Path) -> None:
    """Missed and wrong atoms (1 - F1, over precision and recall alike) against the time of a frame, one panel for each set of frames."""
    mpl.use("Agg")
    labels = list(figures["frames"])
    drawing, panels = plt.subplots(1, len(labels), figsize=(3.4 * len(labels), 4.4), sharex=True, layout="constrained")
    for panel, label in zip(panels, labels, strict=True):
        for colour, (name, one) in zip(_COLOURS, figures["architectures"].items(), strict=False):
            points = sorted((ms["median"], _MARKERS[ms["bits"]]) for ms in one["ms"].values())
            wrong = max(1 - one[label]["f1"], 1e-5)
            panel.plot([ms for ms, _ in points], [wrong] * len(points), color=colour, linewidth=1, alpha=0.5)
            for ms, marker in points:
                panel.plot(ms, wrong, marker, color=colour, markersize=7)
            panel.plot([], [], "o", color=colour, label=name)
        panel.set(title=label, xlabel="whole frame, ms", xscale="log", yscale="log")
        panel.xaxis.set_major_locator(FixedLocator(_TICKS_MS))
        panel.xaxis.set_major_formatter("{x:g}")
        panel.xaxis.set_minor_formatter(NullFormatter())
        panel.grid(which="both", color="#e3e7eb", linewidth=0.6)
        panel.set_axisbelow(True)
    panels[0].set_ylabel("1 - F1")
    handles, names = panels[0].get_legend_handles_labels()
    drawing.legend(handles, names, loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    drawing.suptitle(
        f"512x512, {figures['members']} members; circles float32, squares half as many bits; {figures['date'][:10]}, {figures['machine']}", fontsize=8
    )
    drawing.savefig(file, dpi=130)


if __name__ == "__main__":
    main()
