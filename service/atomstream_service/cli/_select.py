from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from atomstream_models.analysis import FrameRefused, MemberFailed, prepare
from atomstream_models.bundle import Bundle, find_bundle, open_bundle, pack
from atomstream_models.errors import InputError
from atomstream_models.movies import frame_numbers, read_movie
from atomstream_models.report import Cell, Table
from atomstream_models.runtime import LoadedEnsemble, load_ensemble, look
from atomstream_models.selection import WEIGHTS, MemberScores, choose, gallery, rank, score_members, subset_bundle

from ._commands import Commands
from ._outputs import OVERWRITING, check_apart, check_output, check_outside_bundles, naming, whole
from ._pixel_size import check_size, note_unknown
from ._tables import print_table

_SCORED = 9
"""Frames that are scored unless they are named, evenly spread."""
_SHOWN = 4
_POOR = 0.3
"""Members that find a lattice fairly stay below this even on frames of great noise."""
_SUFFIX = ".atomstream"
_HEADINGS = {"off_lattice": "off lattice", "disagreement": "differ", "detection": "detect"}
"""Short enough for all of them to stand side by side in 80 columns."""
_PACKED = (_SUFFIX, ".zip")
"""What a bundle that is one file ends in; under any other name it is a folder."""


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "select",
        help="choose the members of an ensemble that are free of artifacts",
        description="Score every member on frames without labels, show them side by side, and write a bundle of the chosen ones.",
        epilog="Scores run from 0 (good) to 1 (bad). Without --members, --best or --interactive nothing is written but --figure and --json. " + OVERWRITING,
    )
    parser.add_argument("file", type=Path, metavar="FRAMES", help="a file that `replay` reads (FILE::NAME where it holds several stacks)")
    parser.add_argument("--bundle", default="graphene", metavar="NAME|PATH", help="the ensemble (graphene)")
    parser.add_argument("--frames", metavar="0,5,11 or 0-5", help=f"frames to score ({_SCORED} evenly spread)")
    parser.add_argument("--pixel-size-nm", type=float, metavar="P", help="pixel size in nm, where the file does not say")
    parser.add_argument("--expected-neighbour-nm", type=float, metavar="D", help="distance between nearest neighbours (what the members' median answer has)")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--members", metavar="m00,m03", help="keep these")
    choice.add_argument("--best", type=int, metavar="N", help="keep the N with the least artifacts")
    choice.add_argument("--interactive", action="store_true", help="ask, after the scores have been shown")
    parser.add_argument("--reason", metavar="WORDS", help="why, for the card")
    parser.add_argument("--figure", type=Path, metavar="FILE.png", help="all members side by side")
    parser.add_argument("--json", metavar="FILE|-", help="scores and choice for programs")
    parser.add_argument("--out", type=Path, metavar="DIR|FILE.atomstream|FILE.zip", help="where the chosen subset goes (NAME-VERSION.atomstream)")
    parser.add_argument("--version", metavar="V", help="its version (the ensemble's, with -selected)")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.set_defaults(run=_run)


@dataclass(frozen=True)
class _Scored:
    """Which frames were scored, and how."""

    frames: tuple[int, ...]
    scores: tuple[MemberScores, ...]
    suggested: tuple[str, ...]


def _run(given: argparse.Namespace) -> int:
    _check(given)
    images, pixel_nm = read_movie(given.file)
    pixel_nm = given.pixel_size_nm or pixel_nm
    expected_px = _expected_px(given, pixel_nm)
    wanted = _spread(range(len(images)), _SCORED) if given.frames is None else frame_numbers(given.frames, len(images), "--frames")
    with TemporaryDirectory(prefix="atomstream-") as state:
        bundle = open_bundle(find_bundle(given.bundle, Path(state)))
        named = None if given.members is None else _named(given.members, bundle)
        out = _target(given, bundle)
        note_unknown(given.file, pixel_nm, bundle.card)
        ensemble = load_ensemble(bundle, given.device)
        try:
            scored = _score(ensemble, images, wanted, pixel_nm, expected_px)
            _print(scored, Console(stderr=given.json == "-"))
            if given.figure is not None and given.interactive:
                _draw(given.figure, ensemble, images, pixel_nm, scored, scored.suggested)
            chosen = _choice(given, scored, named)
            if given.figure is not None and not given.interactive:
                _draw(given.figure, ensemble, images, pixel_nm, scored, chosen or scored.suggested)
        finally:
            ensemble.close()
        if chosen:
            _write(bundle, chosen, out, given, scored)
            print(f"wrote {out}: {', '.join(sorted(chosen))}", file=sys.stderr if given.json == "-" else sys.stdout)
        _report(given.json, bundle, scored, chosen, out)
    return 0


def _check(given: argparse.Namespace) -> None:
    """What can be known to be wrong before the long work."""
    check_size(given.pixel_size_nm, "--pixel-size-nm")
    check_size(given.expected_neighbour_nm, "--expected-neighbour-nm")
    if not _chooses(given):
        for name in ("out", "reason", "version"):
            if getattr(given, name) is not None:
                raise InputError(f"--{name} is about the chosen members: choose them with --members, --best or --interactive")
    outputs = [(given.figure, ".png"), (None if given.json in (None, "-") else Path(given.json), ".json")]
    for file, suffix in outputs:
        if file is not None:
            check_output(file, suffix, [given.file, Path(given.bundle)])
    check_apart([file for file in (given.out, *(file for file, _ in outputs)) if file is not None])


def _chooses(given: argparse.Namespace) -> bool:
    return given.members is not None or given.best is not None or bool(given.interactive)


def _expected_px(given: argparse.Namespace, pixel_nm: float | None) -> float | None:
    if given.expected_neighbour_nm is None:
        return None
    if pixel_nm is None:
        raise InputError(f"--expected-neighbour-nm needs a pixel size, which {given.file} does not tell: give --pixel-size-nm")
    return float(given.expected_neighbour_nm / pixel_nm)


def _target(given: argparse.Namespace, bundle: Bundle) -> Path:
    """Where the subset goes, if there is to be one."""
    out = Path(given.out or f"{bundle.card.name}-{_version(given, bundle)}{_SUFFIX}")
    if _chooses(given):
        if out.exists() and (_packed(out) or not out.is_dir() or any(out.iterdir())):
            raise InputError(f"{out} is there already: give another --out or --version")
        check_outside_bundles(out)
    return out


def _packed(out: Path) -> bool:
    return out.suffix.lower() in _PACKED


def _version(given: argparse.Namespace, bundle: Bundle) -> str:
    return str(given.version or f"{bundle.card.version}-selected")


def _named(text: str, bundle: Bundle) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    known = bundle.card.member_ids
    if not names or (unknown := [name for name in names if name not in known]):
        raise InputError(f"--members: {', '.join(unknown) if names else 'nothing'} is not one of {', '.join(known)}")
    return names


def _spread(numbers: Sequence[int], most: int) -> list[int]:
    """At most so many of some numbers, evenly spread, the first and the last among them."""
    return [numbers[k] for k in sorted({round(at) for at in np.linspace(0, len(numbers) - 1, min(most, len(numbers)))})]


def _score(ensemble: LoadedEnsemble, images: NDArray[Any], wanted: Sequence[int], pixel_nm: float | None, expected_px: float | None) -> _Scored:
    good = [k for k in wanted if _taken(ensemble, images[k], k, pixel_nm)]
    if not good:
        raise InputError("none of the frames can be scored")
    looked = look(ensemble, (images[k] for k in track(good, "scoring", console=Console(stderr=True))), pixel_nm)
    try:
        scores = score_members((images[k] for k in good), looked, ensemble.card.threshold, expected_neighbour_px=expected_px)
    except MemberFailed as error:
        raise InputError(f"the members can't be compared: {error}") from error
    return _Scored(tuple(good), scores, choose(scores))


def _taken(ensemble: LoadedEnsemble, image: NDArray[Any], number: int, pixel_nm: float | None) -> bool:
    try:
        prepare(image, None if pixel_nm is None else (pixel_nm, pixel_nm), ensemble.card)
    except FrameRefused as error:
        print(f"frame {number} is left out: {error}", file=sys.stderr)
        return False
    return True


def _print(scored: _Scored, console: Console) -> None:
    frames = f"frame {scored.frames[0]}" if len(scored.frames) == 1 else f"{len(scored.frames)} frames"
    rows: list[list[Cell]] = []
    for one in rank(scored.scores):
        mark = " *" if one.member in scored.suggested else ""
        rows.append([f"{one.member}{mark}", *(_number(number, 3) for number in (one.artifact, *one.parts.values())), _number(one.atoms, 0)])
    columns = ("member", "artifact", *(_HEADINGS.get(name, name) for name in WEIGHTS), "atoms")
    print_table(Table(columns, rows, f"artifacts on {frames}, from 0 (good) to 1 (bad)"), console)
    if rank(scored.scores)[0].artifact > _POOR:
        console.print("Even the best member shows many artifacts: perhaps none is fit for these frames. Look at the figure.", style="yellow")
    console.print("* suggested: nearly as free of artifacts as the best. The choice is yours: --members, --best or --interactive.", highlight=False)


def _number(value: float, digits: int) -> Cell:
    return None if np.isnan(value) else f"{value:.{digits}f}"


def _choice(given: argparse.Namespace, scored: _Scored, named: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if named is not None:
        return named
    if given.best is not None:
        return choose(scored.scores, best=given.best)
    return _ask(scored) if given.interactive else None


def _ask(scored: _Scored) -> tuple[str, ...] | None:
    """What somebody at the terminal chooses; None where they leave."""
    known = [one.member for one in scored.scores]
    while True:
        print(f"Members to keep, such as {known[0]},{known[-1]} (Enter: {','.join(scored.suggested)}; q: none): ", end="", file=sys.stderr, flush=True)
        answer = sys.stdin.readline()
        names = tuple(dict.fromkeys(answer.replace(",", " ").split()))
        if not answer or names == ("q",):
            return None
        if not names:
            return scored.suggested
        if not (unknown := [name for name in names if name not in known]):
            return names
        print(f"{', '.join(unknown)} is not one of {', '.join(known)}", file=sys.stderr)


def _draw(file: Path, ensemble: LoadedEnsemble, images: NDArray[Any], pixel_nm: float | None, scored: _Scored, chosen: Sequence[str]) -> None:
    places = _spread(range(len(scored.frames)), _SHOWN)
    numbers = [scored.frames[at] for at in places]
    shown = [images[k] for k in numbers]
    scores = [replace(one, by_frame=tuple(one.by_frame[at] for at in places)) for one in scored.scores]
    answers = list(look(ensemble, shown, pixel_nm))
    picture = gallery(shown, answers, scores, chosen=chosen, names=[f"frame {k}" for k in numbers], pixel_nm=pixel_nm)
    with whole(file) as unfinished:
        unfinished.write_bytes(picture)


def _write(bundle: Bundle, chosen: Sequence[str], out: Path, given: argparse.Namespace, scored: _Scored) -> None:
    how = f"the {given.best} with the least artifacts" if given.best is not None else "chosen by hand"
    frames = f"{given.file.name}: {', '.join(map(str, scored.frames))}"
    with naming(out), TemporaryDirectory(prefix="atomstream-") as folder:
        target = Path(folder) / "bundle" if _packed(out) else out
        subset_bundle(bundle, chosen, target, version=_version(given, bundle), reason=given.reason or how, scores=scored.scores, frames=frames)
        if target != out:
            out.parent.mkdir(parents=True, exist_ok=True)
            with whole(out) as unfinished:
                pack(target, unfinished)


def _report(target: str | None, bundle: Bundle, scored: _Scored, chosen: Sequence[str] | None, out: Path) -> None:
    if target is None:
        return
    found = {
        "bundle": {"name": bundle.card.name, "version": bundle.card.version, "sha256": bundle.sha256},
        "frames": list(scored.frames),
        "ranking": [{"member": one.member, **_numbers({"artifact": one.artifact, **one.parts, "atoms": one.atoms})} for one in rank(scored.scores)],
        "suggested": list(scored.suggested),
        "chosen": list(chosen) if chosen else None,
        "written": str(out) if chosen else None,
    }
    text = json.dumps(found, indent=2) + "\n"
    if target == "-":
        sys.stdout.write(text)
    else:
        with whole(Path(target)) as file:
            file.write_text(text)


def _numbers(numbers: dict[str, float]) -> dict[str, float | None]:
    return {name: None if np.isnan(number) else round(number, 4) for name, number in numbers.items()}
