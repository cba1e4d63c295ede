"""Iterative training: an ensemble's best members label experimental frames, and a new ensemble learns from them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..analysis import FrameRefused, finish, prepare
from ..bundle import Bundle, Card, open_bundle
from ..errors import InputError
from ..labelling import Labels
from ..regions import Region, in_regions
from ..runtime import LoadedEnsemble, load_ensemble, look
from ._files import write_tensors
from ._member import BASELINE, MemberJob, grain_px, member_seed, open_feed
from ._recipe import Recipe
from ._relabel import Relabelled, relabel
from ._run import Run, provide, train_ensemble
from ._warm import calibrate, network_of
from .data import ExperimentalData, TrainingSet, crops
from .executors import Executor
from .networks import NetworkSettings

RISE = 0.01
"""Iterations end when the detection rate rises by less than this share."""
_CALIBRATION_BATCHES = 4
_MOST_WEIGHT = 10.0
"""Of a rare class against the commonest one, whose weight is 1; it grows with the square root of how much rarer it is."""
_ENOUGH_TO_HOLD_OUT = 3
"""Frames of which one can be spared for validation."""


@dataclass(frozen=True)
class Iteration:
    """One round of refinement.

    card : of the new bundle
    run : where it lies
    counts : atoms found, left out for which reason, kept
    detected : atoms a frame that at least half of the members see, before and after
    """

    card: Card
    run: Run
    counts: dict[str, int]
    detected: tuple[float, float]


@dataclass(frozen=True)
class _Source:
    """What is learned from.

    frames, numbers : the chosen frames, and their numbers in the movie
    held_out : index of the one that is kept for validation
    regions : parts of them to learn from, all where there are none
    leave_out : parts of those to leave out
    """

    frames: list[NDArray[Any]]
    numbers: list[int]
    held_out: int | None
    regions: tuple[Region, ...]
    leave_out: tuple[Region, ...]
    pixel_nm: float | None

    def check(self, ensemble: LoadedEnsemble) -> None:
        """See that the ensemble can look at every frame before it looks at any."""
        size = None if self.pixel_nm is None else (self.pixel_nm, self.pixel_nm)
        for frame, number in zip(self.frames, self.numbers, strict=True):
            try:
                prepare(frame, size, ensemble.card)
            except FrameRefused as error:
                raise FrameRefused(error.code, f"frame {number}: {error}") from error

    def crops(self, relabelled: Relabelled, recipe: Recipe, data: ExperimentalData) -> TrainingSet:
        """The training images."""
        return crops(
            self.frames,
            relabelled.labels.positions,
            relabelled.labels.kinds,
            classes=len(recipe.classes),
            side_px=data.crop_px,
            count=data.crops,
            seed=recipe.training.seed,
            pixel_nm=self.pixel_nm,
            regions=self.regions,
            leave_out=self.leave_out,
            radius_px=relabelled.radius_px,
            grain_px=grain_px(recipe),
            validation=data.validation,
            held_out=self.held_out,
            numbers=self.numbers,
        )

    def counts(self, labels: Labels) -> dict[str, int]:
        """Atoms found, left out for which reason, kept; and, where only parts of the frames are learned from, how many of those lie there."""
        if not self.regions:
            return labels.counts
        places = [atoms[which >= 0] for atoms, which in zip(labels.atoms, labels.kinds, strict=True)]
        inside = sum(int(in_regions(one, self.regions).sum()) for one in places)
        return {**labels.counts, "kept in the regions": inside}

    def story(self) -> dict[str, Any]:
        """What the card tells of it."""
        return {
            "frames": self.numbers,
            "validation_frame": None if self.held_out is None else self.numbers[self.held_out],
            "regions": [list(region) for region in self.regions],
        } | ({"left_out": [list(region) for region in self.leave_out]} if self.leave_out else {})


def refine(
    frames: Sequence[NDArray[Any]],
    pixel_nm: float | None,
    parent: Bundle,
    recipe: Recipe,
    out: Path,
    executor: Executor,
    *,
    members: Sequence[str] | None = None,
    use: Sequence[int] | None = None,
    regions: Sequence[Region] = (),
    leave_out: Sequence[Region] = (),
    iterations: int = 1,
    stage: Callable[[Literal["labels", "images"], int], None] = lambda stage, number: None,
    begin: Callable[[Run, int], Callable[[int], None]] = lambda run, iteration: lambda member: None,
) -> list[Iteration]:
    """Refine an ensemble on experimental frames, once or until the detection rate no longer rises.

    The runs lie in `out/1`, `out/2`, ...; a refinement that was cut off goes on when called again in the same way.

    frames : arrays (rows, columns) of one size
    pixel_nm : their pixel size in nm, None where it is unknown
    recipe : how to train, with data of kind `experimental`
    members : the artifact-free members whose mean makes the labels, all by default; later iterations use all of the new ones
    use : numbers of the frames to learn from, all by default
    regions : parts of the frames to learn from
    leave_out : parts of the frames that are not to be learned from: atoms there are no labels, pixels there are unknown
    iterations : rounds at most
    stage : called with each round's number before the frames are labelled, and before they are cut into images
    begin : called before each round's training with its run and number; answers what to call when a member is done

    Raises
    ------
    InputError
        for a recipe, member, frame or region that does not fit, or where no atom is found or left.
    FrameRefused
        for a frame that can't be processed.
    TrainingFailed
        where a member can't be trained.
    """
    data = recipe.data
    if not isinstance(data, ExperimentalData):
        raise InputError(f"recipe {recipe.name!r} learns from {data.kind} images; a refinement needs data of kind 'experimental'")
    chosen = _chosen_frames(frames, use)
    held_out = len(chosen) // 2 if data.hold_out and len(chosen) >= _ENOUGH_TO_HOLD_OUT else None
    source = _Source([frames[k] for k in chosen], chosen, held_out, tuple(regions), tuple(leave_out), pixel_nm)
    _check_members(parent, members)
    done: list[Iteration] = []
    for number in range(1, iterations + 1):
        run = Run(out / str(number))
        stage("labels", number)
        with _loaded(parent) as ensemble:
            source.check(ensemble)
            before = done[-1].detected[1] if done else detection_rate(ensemble, frames, pixel_nm, members)
            relabelled = relabel(ensemble, source.frames, pixel_nm, members, recipe, data, leave_out)
        balanced = _balanced(recipe, relabelled.classes["atoms"])
        stage("images", number)
        made = source.crops(relabelled, balanced, data)
        weights = None
        if recipe.training.strategy == "baseline":
            provide(balanced, run, made)
            weights = _baseline(parent, members, balanced, run)
        counts = source.counts(relabelled.labels)
        about = {"training": {"atoms": counts} | _story(parent, members, relabelled, number) | source.story()}
        card = train_ensemble(balanced, run, executor, data=made, weights=weights, about=about, done=begin(run, number))
        parent, members = open_bundle(run.bundle), None
        with _loaded(parent) as ensemble:
            after = detection_rate(ensemble, frames, pixel_nm, None)
        done.append(Iteration(card, run, counts, (before, after)))
        if after < before * (1 + RISE):
            break
    return done


def detection_rate(ensemble: LoadedEnsemble, frames: Sequence[NDArray[Any]], pixel_nm: float | None, members: Sequence[str] | None) -> float:
    """Atoms a frame that at least half of the members see themselves; frames that can't be processed don't count."""
    found = []
    for frame in frames:
        with suppress(FrameRefused):
            for inferred in look(ensemble, [frame], pixel_nm, members):
                atoms = finish(inferred, ensemble.card).atoms
                found.append(int((atoms[:, 5] >= len(inferred.members_used) / 2).sum()))
    return float(np.mean(found))


def _baseline(parent: Bundle, members: Sequence[str] | None, recipe: Recipe, run: Run) -> Path:
    """Weights of the parent's first chosen member, for the new members to start from."""
    path = run.folder / "start.pt"
    if not path.exists():
        first = (members or parent.card.member_ids)[0]
        entry = next(member for member in parent.card.members if member.id == first)
        settings = recipe.network(0)
        try:
            known = NetworkSettings.parse(entry.architecture)
        except ValueError as error:
            raise InputError(f"member {first} is a {entry.architecture or 'network of unknown architecture'}: it can't be trained on") from error
        if known != settings:
            raise InputError(f"member {first} is a {known}, the recipe trains a {settings}: set networks to the former, or train from scratch")
        network = network_of(parent.member_path(first), settings, recipe.channels, seed=member_seed(recipe, BASELINE))
        calibrate(network, open_feed(MemberJob(recipe, 0, run.data, run.folder)), _CALIBRATION_BATCHES)
        write_tensors(path, network.state_dict())
    return path


def _balanced(recipe: Recipe, atoms: Mapping[str, int]) -> Recipe:
    """The recipe with class weights, where it has none: a network that sees one impurity to a hundred hosts would learn to answer host."""
    if len(atoms) == 1 or recipe.training.class_weights is not None:
        return recipe
    most = max(atoms.values())
    weights = [round(min(math.sqrt(most / count), _MOST_WEIGHT), 2) if count else 1.0 for count in atoms.values()]
    return recipe.model_copy(update={"training": recipe.training.model_copy(update={"class_weights": (*weights, 1.0)})})


def _story(parent: Bundle, members: Sequence[str] | None, relabelled: Relabelled, number: int) -> dict[str, Any]:
    """What the card tells of where the labels came from."""
    card, labels = parent.card, relabelled.labels
    return {
        "parent": {"name": card.name, "version": card.version, "sha256": parent.sha256, "members": list(members or card.member_ids)},
        "iteration": number,
        "classes": relabelled.classes,
        "radius_px": round(relabelled.radius_px, 3),
        "notes": list(labels.notes),
    }


def _chosen_frames(frames: Sequence[NDArray[Any]], use: Sequence[int] | None) -> list[int]:
    if not len(frames):
        raise InputError("there is no frame to refine on")
    chosen = list(range(len(frames))) if use is None else list(use)
    missing = [k for k in chosen if not 0 <= k < len(frames)]
    if missing or not chosen:
        raise InputError(f"frame {missing[0]} is asked for, there are {len(frames)} frames, 0 to {len(frames) - 1}" if missing else "no frame is chosen")
    return chosen


def _check_members(parent: Bundle, members: Sequence[str] | None) -> None:
    unknown = sorted(set(members or ()) - set(parent.card.member_ids))
    if unknown:
        raise InputError(f"bundle {parent.card.name} has no member {', '.join(unknown)}, but {', '.join(parent.card.member_ids)}")


@contextmanager
def _loaded(bundle: Bundle) -> Iterator[LoadedEnsemble]:
    ensemble = load_ensemble(bundle)
    try:
        yield ensemble
    finally:
        ensemble.close()
