from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from atomstream_models.analysis import Answer, FrameRefused, Inferred, MemberFailed, finish, member_map, prepare
from atomstream_models.baseline import filled, log_atoms
from atomstream_models.bundle import Card, find_bundle, open_bundle
from atomstream_models.errors import InputError
from atomstream_models.evaluation import Evaluation, Truth, evaluate, read_truth, summary
from atomstream_models.movies import frame_numbers, read_movie
from atomstream_models.report import Judged, Section, Study, baseline_of, card_section, counted, require_packages, study_sections, summary_section, write_report
from atomstream_models.runtime import LoadedEnsemble, load_ensemble, look

from ._commands import Commands
from ._outputs import OVERWRITING, check_apart, check_output, naming, whole
from ._pixel_size import check_size, note_unknown
from ._tables import print_table

_SHOWN = 3
"""Frames whose pictures are in the report unless they are named: the first, the middle one and the last."""


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "evaluate",
        help="judge an ensemble on frames",
        description="Find the atoms in the frames of a file, judge them (against a truth where there is one), and write a report.",
        epilog=OVERWRITING,
    )
    parser.add_argument("file", type=Path, metavar="FRAMES", help="a file that `replay` reads (FILE::NAME where it holds several stacks)")
    parser.add_argument("--bundle", default="graphene", metavar="NAME|PATH", help="the ensemble (graphene)")
    parser.add_argument("--before", metavar="NAME|PATH", help="the ensemble that it was refined from, to compare with")
    parser.add_argument("--members", metavar="m00,m03", help="members to use (all)")
    parser.add_argument("--truth", type=Path, metavar="FILE", help="true atoms: .csv (frame, y, x[, class]) or .npz (atoms_yx[, kinds][, frame])")
    parser.add_argument("--frames", metavar="0,5,11 or 0-5", help="frames to evaluate (all)")
    parser.add_argument("--show", metavar="0,5,11 or 0-5", help="frames whose pictures the report has (the first, the middle one and the last)")
    parser.add_argument("--pixel-size-nm", type=float, metavar="P", help="pixel size in nm, where the file does not say")
    parser.add_argument("--match-px", type=float, metavar="R", help="how far from a true atom a found one may lie (0.35 of the nearest-neighbour distance)")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--out", type=Path, metavar="FILE.html", help="write the report")
    parser.add_argument("--json", metavar="FILE|-", help="write every figure for programs")
    parser.set_defaults(run=_run)


@dataclass
class _Seen:
    """What is kept of an ensemble's answers for the pictures."""

    answers: dict[int, Answer] = field(default_factory=dict)
    members: dict[int, dict[str, NDArray[np.float32]]] = field(default_factory=dict)


def _run(given: argparse.Namespace) -> int:
    _check(given)
    images, pixel_nm = read_movie(given.file)
    pixel_nm = given.pixel_size_nm or pixel_nm
    wanted = list(range(len(images))) if given.frames is None else frame_numbers(given.frames, len(images), "--frames")
    shown = None if given.show is None else frame_numbers(given.show, len(images), "--show")
    if beside := sorted(set(shown or ()) - set(wanted)):
        raise InputError(f"--show: frame {', '.join(map(str, beside))} is not among those judged, --frames {given.frames}")
    with TemporaryDirectory(prefix="atomstream-") as state:
        names = [name for name in (given.before, given.bundle) if name is not None]
        ensembles = [load_ensemble(open_bundle(find_bundle(name, Path(state))), given.device) for name in names]
        note_unknown(given.file, pixel_nm, ensembles[-1].card)
        try:
            study, cards = _study(given, images, pixel_nm, wanted, shown, ensembles)
        finally:
            for one in ensembles:
                one.close()
    _write(given, study, cards)
    return 0


def _check(given: argparse.Namespace) -> None:
    """Whatever can be known to be wrong before the long work."""
    check_size(given.pixel_size_nm, "--pixel-size-nm")
    check_size(given.match_px, "--match-px")
    if given.out is not None:
        require_packages()
    inputs = [Path(one) for one in (given.file, given.truth, given.bundle, given.before) if one is not None]
    outputs = [(given.out, ".html"), (None if given.json in (None, "-") else Path(given.json), ".json")]
    for file, suffix in outputs:
        if file is not None:
            check_output(file, suffix, inputs)
    check_apart([file for file, _ in outputs if file is not None])


def _study(
    given: argparse.Namespace,
    images: NDArray[Any],
    pixel_nm: float | None,
    wanted: Sequence[int],
    shown: Sequence[int] | None,
    ensembles: Sequence[LoadedEnsemble],
) -> tuple[Study, list[Card]]:
    cards = [one.card for one in ensembles]
    members = [_members(given.members, cards[-1]) if card is cards[-1] else card.member_ids for card in cards]
    truths = _truths(given, images, cards[-1], pixel_nm, wanted)
    missing, left_out = _accepted(images, wanted, pixel_nm, cards)
    good = list(missing)
    if not good:
        raise InputError(f"no frame can be evaluated; frame {wanted[0]}: {left_out[wanted[0]]}")
    pictures = [k for k in shown or _first_middle_last(good) if k in good]
    judged = []
    with Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        tasks = [progress.add_task(f"evaluating {card.name} {card.version}", total=len(good)) for card in cards]
        for ensemble, ids, task in zip(ensembles, members, tasks, strict=True):
            seen = _Seen()
            looked = _looked(ensemble, ids, images, good, pixel_nm)
            kept = _kept(progress.track(looked, task_id=task), ensemble.card, pictures, seen)
            known = truths if ensemble.card.classes == cards[-1].classes else {k: replace(one, kinds=None) for k, one in truths.items()}
            found = evaluate(kept, ensemble.card, known, pixel_nm=pixel_nm, match_px=given.match_px)
            judged.append(Judged("", found, seen.answers, seen.members))
    before = replace(judged[0], name="before") if len(judged) > 1 else None
    after = replace(judged[-1], name="after" if before else "ensemble")
    baseline = baseline_of({k: _log_atoms(images[k], missing[k]) for k in good}, truths or None)
    study = Study(after, {k: images[k] for k in pictures}, before, truths or None, baseline, _chosen(cards[-1]), pixel_nm, left_out)
    return study, cards


def _chosen(card: Card) -> tuple[str, ...]:
    """Members that somebody has chosen, to be marked in the pictures."""
    return () if card.selection is None else card.member_ids


def _members(text: str | None, card: Card) -> tuple[str, ...]:
    if text is None:
        return card.member_ids
    named = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if unknown := [name for name in named if name not in card.member_ids]:
        raise InputError(f"--members: {card.name} {card.version} has no member {', '.join(unknown)}; it has {', '.join(card.member_ids)}")
    if not named:
        raise InputError("--members names no member")
    return named


def _truths(given: argparse.Namespace, images: NDArray[Any], card: Card, pixel_nm: float | None, wanted: Sequence[int]) -> dict[int, Truth]:
    if given.truth is None:
        return {}
    truths = read_truth(given.truth, (images.shape[1], images.shape[2]), card.classes, match_px=given.match_px, pixel_nm=pixel_nm)
    if beyond := [k for k in truths if k >= len(images)]:
        raise InputError(f"{given.truth} labels frame {beyond[0]}, but {given.file} has {len(images)} frames, counted from 0")
    if not set(truths) & set(wanted):
        raise InputError(f"{given.truth} labels none of the frames that are evaluated, but {', '.join(map(str, truths))}")
    return truths


def _accepted(
    images: NDArray[Any], wanted: Sequence[int], pixel_nm: float | None, cards: Sequence[Card]
) -> tuple[dict[int, NDArray[np.bool_]], dict[int, str]]:
    """Frames that every ensemble can be given, with which of their rows hold no data; and the other frames, with why not."""
    size = None if pixel_nm is None else (pixel_nm, pixel_nm)
    missing: dict[int, NDArray[np.bool_]] = {}
    refused: dict[int, str] = {}
    for k in wanted:
        try:
            prepared = [prepare(images[k], size, card) for card in cards]
        except FrameRefused as error:
            refused[k] = str(error)
        else:
            missing[k] = prepared[-1].missing
    return missing, refused


def _log_atoms(image: NDArray[Any], missing: NDArray[np.bool_]) -> NDArray[np.float64]:
    """What the classical finder finds on rows that hold data."""
    atoms = log_atoms(filled(image))
    row = np.clip(np.rint(atoms[:, 0]), 0, len(missing) - 1).astype(np.int64)
    return atoms[~missing[row]]


def _looked(
    ensemble: LoadedEnsemble, members: Sequence[str], images: NDArray[Any], frames: Sequence[int], pixel_nm: float | None
) -> Iterator[tuple[int, Inferred]]:
    try:
        yield from zip(frames, look(ensemble, (images[k] for k in frames), pixel_nm, members), strict=True)
    except MemberFailed as error:
        raise InputError(f"{ensemble.card.name} {ensemble.card.version}: {error}") from error


def _kept(looked: Iterable[tuple[int, Inferred]], card: Card, shown: Sequence[int], seen: _Seen) -> Iterator[tuple[int, Inferred]]:
    """The same, with the maps of the frames that are to be shown put aside."""
    for frame, inferred in looked:
        if frame in shown:
            seen.answers[frame] = finish(inferred, card)
            seen.members[frame] = {member: member_map(inferred, member) for member in inferred.members_used}
        yield frame, inferred


def _first_middle_last(frames: Sequence[int]) -> list[int]:
    return sorted({frames[round(k * (len(frames) - 1) / (_SHOWN - 1))] for k in range(_SHOWN)})


def _write(given: argparse.Namespace, study: Study, cards: Sequence[Card]) -> None:
    console = Console(highlight=False, stderr=given.json == "-")
    for frame, why in study.left_out.items():
        console.print(f"frame {frame} is left out: {why}", style="yellow", markup=False)
    for table in summary_section(study).tables:
        print_table(table, console)
        console.print()
    if study.truths:
        scored = sum(one.overall is not None for one in study.ensemble.evaluation.frames)
        console.print(f"matched within {_match_px(study.truths):.3g} px, on {scored} of {counted(len(study.ensemble.evaluation.frames), 'frame')}")
    if given.json is not None:
        text = json.dumps(_figures(study), indent=2, allow_nan=False)
        if given.json == "-":
            print(text)
        else:
            with whole(Path(given.json)) as file:
                file.write_text(text + "\n", encoding="utf-8")
            console.print(f"wrote {given.json}", markup=False)
    if given.out is not None:
        with naming(given.out):
            write_report(given.out, f"{cards[-1].name} {cards[-1].version} on {given.file.name}", _sections(study, cards), subtitle=_subtitle(study))
        console.print(f"wrote {given.out}", markup=False)


def _figures(study: Study) -> dict[str, Any]:
    return {
        "ensemble": summary(study.ensemble.evaluation),
        "before": None if study.before is None else summary(study.before.evaluation),
        "log": _log_figures(study),
        "match_px": _match_px(study.truths),
        "left_out": [{"frame": frame, "why": why} for frame, why in study.left_out.items()],
    }


def _log_figures(study: Study) -> dict[str, float | None] | None:
    """How the classical finder did, where a truth is known; None for what is unknown."""
    scored = None if study.baseline is None else study.baseline.overall
    if scored is None:
        return None
    figures = {"f1": scored.f1, "precision": scored.precision, "recall": scored.recall, "rmse_px": scored.rmse_px}
    return {name: value if math.isfinite(value) else None for name, value in figures.items()}


def _match_px(truths: Mapping[int, Truth] | None) -> float | None:
    return next(iter(truths.values())).match_px if truths else None


def _sections(study: Study, cards: Sequence[Card]) -> list[Section]:
    titles = ["The ensemble"] if len(cards) == 1 else ["The ensemble before", "The ensemble after"]
    return [*study_sections(study), *(card_section(card, title, _origin(card)) for card, title in zip(cards, titles, strict=True))]


def _origin(card: Card) -> str:
    if card.origin == "experimental" or card.selection is not None:
        return ""
    return (
        "These members were trained on simulated frames, and nobody has selected among them: until the members without artifacts have been picked by eye, "
        "a mean and a std over all of them say little."
    )


def _subtitle(study: Study) -> str:
    one: Evaluation = study.ensemble.evaluation
    size = "pixel size unknown" if study.pixel_nm is None else f"{1000 * study.pixel_nm:.4g} pm a pixel"
    who = f"members {', '.join(one.members)}" if one.members else "all blank"
    return f"{counted(len(one.frames), 'frame')}, {size}; {who}"
