from __future__ import annotations

import argparse
import json
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ...analysis import FrameRefused
from ...bundle import Card, find_bundle, open_bundle
from ...errors import InputError
from ...movies import frame_numbers, read_movie
from ...regions import parse_region
from .._recipe import Recipe, load_recipe
from .._refine import Iteration, refine
from .._run import Run
from ..networks import NetworkSettings
from ._events import Events, opened
from ._limits import add_limits, ending_when_told, limit
from ._progress import following
from ._train import add_executor, executor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ._types import Commands

_RECIPE = "refine"
_KEEP_CLASSES = (_RECIPE, "live-refine")
"""Recipes that name no classes of their own."""

Figures = dict[str, Any]


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "refine",
        help="retrain an ensemble on experimental frames",
        description="Let the best members of an ensemble label chosen frames, clean the labels, and train a new ensemble on them: the iterative part "
        "of ELIT. Called again with the same folder, a refinement that was cut off goes on.",
    )
    parser.add_argument("frames_file", type=Path, metavar="FRAMES", help="a file that `replay` reads (FILE::NAME where it holds several stacks)")
    parser.add_argument("--bundle", required=True, metavar="NAME|PATH", help="the ensemble that labels the frames")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the refinement; the bundle of round N comes to DIR/N/bundle")
    parser.add_argument("--members", metavar="m00,m03", help="its artifact-free members (all)")
    parser.add_argument("--frames", metavar="0-5,9", help="frames to learn from (all)")
    parser.add_argument("--region", action="append", default=[], metavar="Y0:Y1,X0:X1", help="part of the frames to learn from, in pixels; may be given again")
    parser.add_argument("--leave-out", action="append", default=[], metavar="Y0:Y1,X0:X1", help="part of the frames not to learn from; may be given again")
    parser.add_argument("--pixel-size-nm", type=float, metavar="P", help="pixel size in nm, where the file does not say")
    parser.add_argument("--classes", metavar="C,Si", help="classes of the new ensemble (those of the old one); others are told by brightness, dark to bright")
    parser.add_argument("--iterations", type=int, default=1, metavar="N", help="rounds at most; ends when the detection rate no longer rises (1)")
    parser.add_argument("--strategy", choices=("scratch", "baseline"), help="start anew, or from the first chosen member")
    parser.add_argument("--recipe", default=_RECIPE, metavar="RECIPE", help=f"how to train ({_RECIPE})")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="changes", help="change a setting of the recipe: training.steps=300")
    parser.add_argument("--name", help="name of the new bundle (that of the old one)")
    parser.add_argument("--version", help="version of the new bundle (that of the old one, with .1 added)")
    add_executor(parser)
    add_limits(parser)
    parser.add_argument("--progress", metavar="FILE|-", help="add a line of JSON for every step of the way to a file, or write it to standard output")
    parser.add_argument("--json", action="store_true", help="print the figures for programs")
    parser.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    if given.iterations < 1:
        raise InputError(f"--iterations {given.iterations}: a refinement takes one round at least")
    if given.pixel_size_nm is not None and not 0 < given.pixel_size_nm < float("inf"):
        raise InputError(f"--pixel-size-nm {given.pixel_size_nm:g} is not the size of a pixel")
    if given.json and given.progress == "-":
        raise InputError("--json and --progress - both want standard output; the figures are in the card of the new bundle")
    with ExitStack() as stack:
        events = None if given.progress is None else Events(stack.enter_context(opened(given.progress)), given.iterations)
        stack.enter_context(ending_when_told())
        try:
            limit(given)
            rounds = _refined(given, events)
        except Exception as error:
            if events is not None:
                events.failed(str(error) or type(error).__name__)
            raise
        figures = [_figures(one) for one in rounds]
        if events is not None:
            events.done(_told(figures[-1]), rounds[-1].run.bundle)
    if given.json:
        print(json.dumps(figures, indent=2))
    elif given.progress != "-":
        for one in figures:
            print(f"{one['bundle']}: {_told(one)}")
    return 0


def _refined(given: argparse.Namespace, events: Events | None) -> list[Iteration]:
    parent = open_bundle(find_bundle(given.bundle, given.out))
    images, pixel_nm = read_movie(given.frames_file)
    pixel_nm = pixel_nm if given.pixel_size_nm is None else given.pixel_size_nm
    members = None if given.members is None else given.members.split(",")
    recipe = _recipe(given, parent.card, members, pixel_nm)
    with ExitStack() as stack:

        def stage(name: Literal["labels", "images"], number: int) -> None:
            stack.close()
            if events is not None:
                events.stage(name, number)

        def begin(run: Run, number: int) -> Callable[[int], None]:
            bars = stack.enter_context(following(run, recipe, quiet=given.json or given.progress is not None))
            told = None if events is None else stack.enter_context(events.following(run, recipe, number))

            def done(member: int) -> None:
                bars(member)
                if told is not None:
                    told(member)

            return done

        try:
            return refine(
                list(images),
                pixel_nm,
                parent,
                recipe,
                given.out,
                executor(given),
                members=members,
                use=None if given.frames is None else frame_numbers(given.frames, len(images), "--frames"),
                regions=[parse_region(text) for text in given.region],
                leave_out=[parse_region(text) for text in given.leave_out],
                iterations=given.iterations,
                stage=stage,
                begin=begin,
            )
        except FrameRefused as error:
            raise InputError(f"{given.frames_file}: {error}") from error


def _recipe(given: argparse.Namespace, parent: Card, members: Sequence[str] | None, pixel_nm: float | None) -> Recipe:
    """The recipe that the flags ask for, with what follows from the parent and the frames; what the user sets wins."""
    changes = [f'name="{given.name or parent.name}"', f'version="{given.version or parent.version + ".1"}"']
    if parent.license:
        changes.append(f"license={json.dumps(parent.license)}")
    if given.recipe in _KEEP_CLASSES:
        changes.append(f"classes={json.dumps(parent.classes)}")
    if given.classes is not None:
        changes.append(f"classes={json.dumps(given.classes.split(','))}")
    if given.strategy is not None:
        changes.append(f'training.strategy="{given.strategy}"')
    if pixel_nm is not None:
        changes.append(f"pixel_size_nm=[{0.8 * pixel_nm:.4g}, {1.25 * pixel_nm:.4g}]")
    recipe = load_recipe(given.recipe, [*changes, *given.changes])
    if recipe.training.strategy == "baseline" and (network := _network(parent, members)) is not None:
        recipe = load_recipe(given.recipe, [*changes, network, *given.changes])
    return recipe


def _network(parent: Card, members: Sequence[str] | None) -> str | None:
    """The setting that trains the networks of the parent's first chosen member on; None where that is not known."""
    wanted = (members or parent.member_ids)[0]
    for member in parent.members:
        if member.id == wanted:
            with suppress(ValueError):
                found = NetworkSettings.parse(member.architecture)
                return f'networks=[{{kind="{found.kind}", filters={found.filters}, depth={found.depth}}}]'
    return None


def _told(one: Figures) -> str:
    counts = ", ".join(f"{name} {count}" for name, count in one["atoms"].items())
    return f"labels {counts}; detected {one['detected_before']:.1f} -> {one['detected_after']:.1f} atoms a frame"


def _figures(one: Iteration) -> Figures:
    return {
        "bundle": str(one.run.bundle),
        "threshold": one.card.threshold,
        "validation_f1": one.card.training["validation_f1"],
        "atoms": one.counts,
        "detected_before": one.detected[0],
        "detected_after": one.detected[1],
    }
