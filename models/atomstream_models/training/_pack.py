"""From trained members to a bundle: threshold, metrics, golden frames, card."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..bundle import Bundle, Card, MemberSource, write_bundle
from ..evaluation import MATCH, Detection, Truth, detection, pooled
from ..locate import locate
from ..runtime import LoadedEnsemble, golden_of, load_ensemble
from ._errors import TrainingFailed
from ._member import MemberJob, fresh_network, grain_px, member_seed, open_feed
from ._recipe import Recipe
from ._targets import DISK_RADIUS
from .data import PreparedData
from .losses import probabilities

THRESHOLDS = (0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7)
_EXPORT_TOLERANCE = {False: 1e-4, True: 5e-3}
"""Largest difference in probability between a network and its export, in single and in half precision."""
_MAP_BYTES = 1 << 29


class ExportDiffers(RuntimeError):
    """An exported member does not answer as its network does."""


@dataclass(frozen=True)
class _Validation:
    """One validation image: as the members see it, as it came from the detector, its truth, and its pixels of which nothing is known."""

    tensor: NDArray[np.float32]
    frame: NDArray[np.float32]
    atoms_yx: NDArray[np.float64]
    required: NDArray[np.bool_]
    match_px: float
    hidden: NDArray[np.bool_] | None


def pack_members(recipe: Recipe, jobs: Sequence[MemberJob], out: Path, about: Mapping[str, Any]) -> Card:
    """Write the bundle of trained members to the folder `out`.

    Unless the recipe gives it, the threshold is the one with the best F1 of the whole ensemble on the validation images.
    Each exported member is compared with its network.

    about : keys for the card, and for its `training`, beyond those that follow from the recipe; they win

    Raises
    ------
    ExportDiffers
        naming the member whose export is wrong.
    """
    images = _validation(recipe, jobs[0])
    card = _about(recipe)
    card = {**card, **about, "training": {**card["training"], **about.get("training", {})}}
    sources = [_source(recipe, job) for job in jobs]
    ensemble = _unopened(out, write_bundle(out, card, sources))
    _compare(jobs, ensemble, images[0].tensor)
    maps = _maps(ensemble, images)
    means = [np.mean(one, axis=0) for one in maps]
    card["threshold"] = recipe.threshold or _best_threshold(images, means)
    card["training"] |= _metrics(_judge(images, means, card["threshold"]))
    for k, source in enumerate(sources):
        own = _metrics(_judge(images, [one[k] for one in maps], card["threshold"]))
        sources[k] = MemberSource(source.id, source.onnx, source.architecture, source.seed, {**source.metrics, **own})
    ensemble.close()
    ensemble = _unopened(out, write_bundle(out, card, sources))
    golden = [golden_of(image.frame, None, ensemble) for image in images[:2]]
    ensemble.close()
    return write_bundle(out, card, sources, golden)


def _about(recipe: Recipe) -> dict[str, Any]:
    return {
        "name": recipe.name,
        "version": recipe.version,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "classes": list(recipe.classes),
        "background": recipe.background,
        "origin": recipe.data.origin if isinstance(recipe.data, PreparedData) else recipe.data.kind,
        "normalization": recipe.normalization.model_dump(),
        "pixel_size_nm": None if recipe.pixel_size_nm is None else list(recipe.pixel_size_nm),
        "threshold": 0.5,
        "downsample": grain_px(recipe),
        "training": {"recipe": recipe.model_dump(mode="json"), "code": f"atomstream {version('atomstream')}", "parent": None},
        "license": recipe.license,
    }


def _source(recipe: Recipe, job: MemberJob) -> MemberSource:
    metrics = json.loads((job.folder / "metrics.json").read_text(encoding="utf-8"))
    return MemberSource(f"m{job.member:02d}", job.folder / "member.onnx", str(recipe.network(job.member)), member_seed(recipe, job.member), metrics)


def _unopened(folder: Path, card: Card) -> LoadedEnsemble:
    """A bundle that is being made: it can run, but not yet be opened as users do, because its golden frames come last."""
    return load_ensemble(Bundle(folder, card, sha256=""))


def _validation(recipe: Recipe, job: MemberJob) -> list[_Validation]:
    """The validation images; of masks, where there are no atoms, the truth is what is located in them."""
    found: list[_Validation] = []
    for lesson in open_feed(MemberJob(recipe, job.member, job.data, job.folder)).validation():
        images, targets, batch = lesson.images, lesson.wanted, lesson.source
        for k in range(len(images)):
            there = torch.isfinite(batch.atoms_yx[k]).all(-1)
            atoms, kinds = batch.atoms_yx[k][there].double().numpy(), batch.kinds[k][there].numpy()
            radius = float(batch.radius_px[k])
            if batch.masks is not None:
                located = locate(targets[k, : len(recipe.classes)].numpy(), None, (), 0.5)
                atoms, kinds = located[:, :2].astype(np.float64), located[:, 2].astype(np.int64)
                radius = float(np.sqrt(np.median(located[:, 8]) / np.pi)) if len(located) else 1.0
            inside = np.all((atoms >= -0.5) & (atoms < np.array(images.shape[2:]) - 0.5), axis=1)
            hidden = None if batch.hidden is None else batch.hidden[k].numpy() > 0
            found.append(_Validation(images[k : k + 1].numpy(), batch.images[k].numpy(), atoms, inside & (kinds >= 0), MATCH / DISK_RADIUS * radius, hidden))
    return found


def _compare(jobs: Sequence[MemberJob], ensemble: LoadedEnsemble, tensor: NDArray[np.float32]) -> None:
    exported = ensemble.run(tensor, ensemble.card.member_ids)
    for job, got in zip(jobs, exported, strict=True):
        network = fresh_network(MemberJob(job.recipe, job.member, job.data, job.folder, job.folder / "weights.pt")).eval()
        with torch.no_grad():
            worst = float(np.abs(probabilities(network(torch.from_numpy(tensor)))[0].numpy() - got).max())
        if not np.isfinite(worst):
            rate = job.recipe.training.rate
            raise TrainingFailed(f"member m{job.member:02d} answers with values that are not finite; a smaller training.rate than {rate:g} may help")
        allowed = _EXPORT_TOLERANCE[job.recipe.half]
        if worst > allowed:
            raise ExportDiffers(f"member m{job.member:02d} as ONNX differs from its network by {worst:.2g}, at most {allowed:g} is allowed")


def _maps(ensemble: LoadedEnsemble, images: Sequence[_Validation]) -> list[NDArray[np.float32]]:
    """For each image the members' maps (members, classes, rows, columns); fewer images where they would not fit in memory."""
    channels = list(ensemble.card.atom_channels)
    each = len(ensemble.card.members) * len(channels) * images[0].frame.size * 4
    return [np.stack(ensemble.run(image.tensor, ensemble.card.member_ids))[:, channels] for image in images[: max(2, _MAP_BYTES // each)]]


def _best_threshold(images: Sequence[_Validation], maps: Sequence[NDArray[np.float32]]) -> float:
    """The threshold with the best F1; the middle one of equals."""
    found = np.array([_judge(images, maps, threshold).f1 for threshold in THRESHOLDS])
    best = np.flatnonzero(found >= found.max() - 1e-4)
    return THRESHOLDS[int(best[len(best) // 2])]


def _judge(images: Sequence[_Validation], maps: Sequence[NDArray[np.float32]], threshold: float) -> Detection:
    """Detection and localisation over all images together."""
    return pooled(
        detection(_seen(locate(one, None, (), threshold), image.hidden), Truth(image.atoms_yx, image.required, image.match_px))
        for image, one in zip(images, maps, strict=False)
    )


def _seen(atoms: NDArray[np.float32], hidden: NDArray[np.bool_] | None) -> NDArray[np.float32]:
    """The atoms that do not lie where nothing is known."""
    if hidden is None:
        return atoms
    y, x = np.rint(atoms[:, :2]).astype(int).clip(0, np.array(hidden.shape) - 1).T
    seen: NDArray[np.float32] = atoms[~hidden[y, x]]
    return seen


def _metrics(judged: Detection) -> dict[str, float]:
    """For the card; the localisation error is left out where nothing was found."""
    metrics = {"validation_f1": round(judged.f1, 5), "validation_rmse_px": round(judged.rmse_px, 4)}
    return metrics if judged.found else {"validation_f1": metrics["validation_f1"]}
