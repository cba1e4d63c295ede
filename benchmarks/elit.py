"""The ELIT paper's story on a simulated microscope whose truth is known: `make elit`, or `python benchmarks/elit.py WORK [--report FILE] [--json FILE]`.

An ensemble trained on the paper's narrow simulation meets a movie that drifts out of it. Its artifact-free members are chosen without the
truth, label the first frames, and a new ensemble learns from those; then the same with two classes, and for a single image of a
perovskite with an island of rock salt. Everything lies in the folder WORK; called again, what is done is not done again.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atomstream_models.analysis import Answer, Inferred, finish, member_map
from atomstream_models.baseline import log_atoms
from atomstream_models.bundle import Bundle, open_bundle
from atomstream_models.evaluation import Evaluation, Truth, evaluate, truth_of
from atomstream_models.report import Judged, Section, Study, Table, baseline_of, card_section, members_section, study_sections, write_report
from atomstream_models.runtime import load_ensemble, look
from atomstream_models.selection import choose, score_members
from atomstream_models.simulation import MicroscopeFrame, SimulatedMicroscope, labelled, single_image_case
from atomstream_models.training import Recipe, Run, load_recipe, refine, train_ensemble
from atomstream_models.training.executors import LocalExecutor

Figures = dict[str, Any]

MOVIE_SEED = 20
SHAPE = (256, 256)
MILD, DRIFT = 8, 24
LEARNED_FROM = range(6)
SHOWN = (0, 16, 31)
ISLAND_SEED = 21


@dataclass(frozen=True)
class Stage:
    """An ensemble, or some of its members, with what it makes of the movie."""

    name: str
    bundle: Bundle
    members: tuple[str, ...]
    evaluation: Evaluation
    inferred: dict[int, Inferred]

    def judged(self, frames: Sequence[int], *, members: bool = True) -> Judged:
        """For the report: its figures, and answers and, if wanted, members' maps of some frames."""
        answers: dict[int, Answer] = {k: finish(self.inferred[k], self.bundle.card) for k in frames}
        maps = {k: {member: member_map(self.inferred[k], member) for member in self.members} for k in frames if members}
        return Judged(self.name, self.evaluation, answers, maps)

    def f1(self, frames: Sequence[int]) -> float:
        """F1 over some frames, averaged frame by frame."""
        found = {one.frame: one.overall.f1 for one in self.evaluation.frames if one.overall is not None}
        return float(np.mean([found[k] for k in frames]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="folder of all runs")
    parser.add_argument("--report", type=Path, default=Path("elit-report.html"))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--jobs", type=int)
    parser.add_argument("--quick", action="store_true", help="few members and steps, to see that it runs; its figures mean nothing")
    given = parser.parse_args()
    began = time.monotonic()
    story = Story(given.work, LocalExecutor(given.jobs), quick=given.quick)
    movie, movie_sections = story.movie()
    single, single_sections = story.single_image()
    figures = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "versions": _versions(), "quick": given.quick, "movie": movie, "single_image": single}
    figures["minutes"] = round((time.monotonic() - began) / 60, 1)
    write_report(given.report, "Ensemble learning and iterative training", [_overview(figures), *movie_sections, *single_sections])
    text = json.dumps(figures, indent=2)
    print(text)
    if given.json is not None:
        given.json.write_text(text + "\n", encoding="utf-8")


class Story:
    """All steps, each kept in the folder `work`."""

    def __init__(self, work: Path, executor: LocalExecutor, *, quick: bool) -> None:
        self._work = work
        self._executor = executor
        self._quick = quick

    def movie(self) -> tuple[Figures, list[Section]]:
        """The drifting movie: (a) to (f)."""
        frames = movie(MOVIE_SEED)
        truths = {k: truth_of(one) for k, one in enumerate(frames)}
        images, pixel_nm = [one.image for one in frames], frames[0].pixel_nm
        merged = {k: Truth(one.atoms_yx, one.required, one.match_px, None, one.pixel_nm) for k, one in truths.items()}

        first = self._train("elit-graphene")
        pooled = self._stage("simulated, all members", first, first.card.member_ids, images, merged, pixel_nm)
        chosen = self._choose(pooled, images)
        best = self._stage(f"simulated, {len(chosen)} chosen", first, chosen, images, merged, pixel_nm)
        refined = self._refine("refined", images, pixel_nm, first, chosen, list(LEARNED_FROM))
        after = self._stage("refined", refined, refined.card.member_ids, images, merged, pixel_nm)
        classes = self._refine("classes", images, pixel_nm, refined, None, None, classes=("C", "Si"))
        told = self._stage("refined, two classes", classes, classes.card.member_ids, images, truths, pixel_nm)

        later = [k for k in range(len(frames)) if k not in LEARNED_FROM]
        hardest, mild = later[-len(later) // 3 :], later[: len(later) // 2]
        validation = [member.metrics["validation_f1"] for member in first.card.members]
        own = [one.f1 for one in pooled.evaluation.by_member.values()]
        converged = after.evaluation.convergence
        by_class = told.evaluation.by_class
        assert converged is not None
        assert by_class is not None
        figures: Figures = {
            "members": len(first.card.members),
            "a_simulated_test_f1": _spread(validation),
            "a_movie_f1": _spread(own),
            "b_chosen": list(chosen),
            "b_f1_chosen": best.f1(later),
            "b_f1_all_pooled": pooled.f1(later),
            "c_f1_later": [best.f1(later), after.f1(later)],
            "c_f1_hardest_third": [best.f1(hardest), after.f1(hardest)],
            "c_f1_mild_half": [best.f1(mild), after.f1(mild)],
            "c_log_later": float(np.mean([_log_f1(frames[k], truths[k]) for k in later])),
            "d_median_std": [pooled.evaluation.median_std, after.evaluation.median_std],
            "d_agreement_f1": [_agreement(pooled), _agreement(after)],
            "e_std_correlation": dict(zip(map(int, converged.members), np.round(converged.correlation, 4).tolist(), strict=True)),
            "f_class_f1": {name: one.f1 for name, one in zip(classes.card.classes, by_class, strict=True)},
        }
        shown = [k for k in SHOWN if k < len(frames)]
        study = Study(
            after.judged(shown),
            {k: images[k] for k in shown},
            before=best.judged(shown, members=False),
            truths=merged,
            baseline=baseline_of({k: log_atoms(image) for k, image in enumerate(images)}, merged),
            pixel_nm=pixel_nm,
        )
        all_first = Study(pooled.judged(shown), study.images, truths=merged, chosen=chosen, pixel_nm=pixel_nm)
        two = Study(told.judged(shown), {k: images[k] for k in shown}, truths=truths, pixel_nm=pixel_nm)
        sections = [
            members_section(all_first, all_first.ensemble),
            *study_sections(study),
            *(Section(f"Two classes: {one.title}", one.text, one.figures, one.tables) for one in study_sections(two)),
            card_section(refined.card, "The refined ensemble"),
        ]
        return figures, sections

    def single_image(self) -> tuple[Figures, list[Section]]:
        """One image of a perovskite with an island of rock salt: (g)."""
        case = single_image_case(ISLAND_SEED, (384, 384))
        frame, truth = case.frame, truth_of(case.frame)
        merged = {0: Truth(truth.atoms_yx, truth.required, truth.match_px, None, truth.pixel_nm)}
        first = self._train("elit-square")
        stages = [self._stage("simulated, all members", first, first.card.member_ids, [frame.image], merged, frame.pixel_nm)]
        chosen = self._choose(stages[0], [frame.image])
        # Members around the best one, on the same simulation: only they have a std that means something (Ghosh 2021, single-image case).
        around = self._train("elit-square", "square-around", weights=Run(self._work / "elit-square").member(int(chosen[0][1:])) / "weights.pt")
        stages.append(self._stage("around the best member", around, around.card.member_ids, [frame.image], merged, frame.pixel_nm))
        parent = around
        for number in (1, 2):
            settings = ["data.std_quantile=0.9", "data.window_px=0"] if number == 1 else ["data.window_px=0"]
            parent = self._refine(f"single-{number}", [frame.image], frame.pixel_nm, parent, None, None, extra=settings)
            stages.append(self._stage(f"retrained {number}", parent, parent.card.member_ids, [frame.image], merged, frame.pixel_nm))
        recalls = {one.name: _island_recall(one, case.island & labelled(frame)) for one in stages}
        figures: Figures = {
            "g_chosen": list(chosen),
            "g_island_columns": int((case.island & labelled(frame)).sum()),
            "g_island_recall": recalls,
            "g_f1": {one.name: one.f1([0]) for one in stages},
        }
        study = Study(stages[-1].judged([0]), {0: frame.image}, before=stages[0].judged([0]), truths=merged, pixel_nm=frame.pixel_nm)
        table = Table(("", "recall on the island", "F1"), [[one.name, recalls[one.name], one.f1([0])] for one in stages])
        sections = [Section(f"Single image: {one.title}", one.text, one.figures, one.tables) for one in study_sections(study)]
        return figures, [Section("Single image: a perovskite with an island of rock salt", "", tables=[table]), *sections]

    def _train(self, name: str, folder: str = "", weights: Path | None = None) -> Bundle:
        changes = ["training.strategy='baseline'", "training.steps=100", "training.rate=1e-3"] if weights is not None else []
        recipe = load_recipe(name, [*changes, *self._fewer("data.patches=60", "data.validation=8")])
        run = Run(self._work / (folder or name))
        print(f"training {recipe.training.members} members of {name} in {run.folder}", flush=True)
        train_ensemble(recipe, run, self._executor, weights=weights, done=_say)
        return open_bundle(run.bundle)

    def _refine(
        self,
        name: str,
        images: Sequence[NDArray[Any]],
        pixel_nm: float,
        parent: Bundle,
        members: Sequence[str] | None,
        use: Sequence[int] | None,
        classes: Sequence[str] = ("atom",),
        extra: Sequence[str] = (),
    ) -> Bundle:
        recipe = self._refinement(name, pixel_nm, classes, extra, len(parent.card.members))
        print(f"refining in {self._work / name}", flush=True)
        done = refine(images, pixel_nm, parent, recipe, self._work / name, self._executor, members=members, use=use, begin=lambda run, number: _say)
        return open_bundle(done[-1].run.bundle)

    def _refinement(self, name: str, pixel_nm: float, classes: Sequence[str], extra: Sequence[str], members: int) -> Recipe:
        changes = [
            f"name='{name}'",
            f"classes={json.dumps(list(classes))}",
            f"pixel_size_nm=[{0.8 * pixel_nm}, {1.25 * pixel_nm}]",
            f"training.members={members}",
            "networks=[{kind='half-unet', filters=8}]",
            "data.crop_px=96",
            "training.steps=400",
            "training.batch=16",
        ]
        return load_recipe("refine", [*changes, *extra, *self._fewer("data.crops=40", "data.validation=8")])

    def _fewer(self, *data: str) -> list[str]:
        return ["training.members=3", "training.steps=60", "training.baseline_steps=60", *data] if self._quick else []

    def _stage(self, name: str, bundle: Bundle, members: Sequence[str], images: Sequence[NDArray[Any]], truths: dict[int, Truth], pixel_nm: float) -> Stage:
        ensemble = load_ensemble(bundle)
        inferred = dict(enumerate(look(ensemble, images, pixel_nm, members)))
        ensemble.close()
        return Stage(name, bundle, tuple(members), evaluate(inferred.items(), bundle.card, truths, pixel_nm=pixel_nm), inferred)

    def _choose(self, stage: Stage, images: Sequence[NDArray[Any]]) -> tuple[str, ...]:
        """The members that look best without the truth."""
        return choose(score_members(images, stage.inferred.values(), stage.bundle.card.threshold))


def movie(seed: int) -> list[MicroscopeFrame]:
    """The drifting movie."""
    microscope = SimulatedMicroscope(seed, SHAPE, mild=MILD, drift=DRIFT)
    return [microscope.next_frame() for _ in range(MILD + DRIFT)]


def _island_recall(stage: Stage, island: NDArray[np.bool_]) -> float:
    compared = stage.evaluation.frames[0].compared
    assert compared is not None
    return float(np.isin(np.flatnonzero(island), compared.true).mean())


def _log_f1(frame: MicroscopeFrame, truth: Truth) -> float:
    scored = baseline_of({0: log_atoms(frame.image)}, {0: truth}).overall
    assert scored is not None
    return scored.f1


def _agreement(stage: Stage) -> float | None:
    return None if stage.evaluation.agreement is None else stage.evaluation.agreement.mean_f1


def _spread(values: Sequence[float]) -> Figures:
    return {"lowest": min(values), "median": float(np.median(values)), "highest": max(values), "spread": max(values) - min(values)}


def _overview(figures: Figures) -> Section:
    rows = [[name, json.dumps(value)] for part in ("movie", "single_image") for name, value in figures[part].items()]
    text = "Members trained on a narrow simulation, chosen without the truth, refined on the first six frames of a movie that drifts."
    return Section("In figures", text, tables=[Table(("figure", "value"), rows)])


def _say(member: int) -> None:
    print(f"  member {member} done", flush=True)


def _versions() -> Figures:
    packages = ("atomstream", "torch", "onnxruntime", "numpy", "scikit-learn")
    return {**{name: version(name) for name in packages}, "machine": platform.platform(), "processors": os.cpu_count()}


if __name__ == "__main__":
    main()
