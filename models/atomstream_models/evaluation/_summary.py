"""An evaluation as plain numbers, for programs."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import numpy as np

from ._convergence import Convergence
from ._detection import Detection
from ._evaluate import Evaluation, FrameFigures
from ._reliability import Reliability


def summary(evaluation: Evaluation) -> dict[str, Any]:
    """Every figure of an evaluation as JSON takes it; what is unknown is None, never NaN."""
    nearest = evaluation.nearest_px
    found: dict[str, Any] = {
        "ensemble": evaluation.name,
        "members": list(evaluation.members),
        "pixel_size_nm": evaluation.pixel_nm,
        "atoms": sum(len(one.atoms) for one in evaluation.frames),
        "nearest_neighbour_px": {"median": float(np.median(nearest)), "std": float(nearest.std())} if len(nearest) else None,
        "median_std": evaluation.median_std,
        "agreement": None if evaluation.agreement is None else _agreement(evaluation),
        "convergence": None if evaluation.convergence is None else _convergence(evaluation.convergence),
        "overall": _maybe(evaluation.overall),
        "by_class": None if evaluation.by_class is None else {name: _scores(one) for name, one in zip(evaluation.classes, evaluation.by_class, strict=True)},
        "by_member": {member: _scores(one) for member, one in evaluation.by_member.items()} or None,
        "member_f1_spread": evaluation.member_spread,
        "calibration": _calibration(evaluation),
        "frames": [_frame(one, evaluation.classes) for one in evaluation.frames],
    }
    return _plain(found)  # type: ignore[no-any-return]


def _scores(one: Detection) -> dict[str, Any]:
    return {
        "f1": one.f1,
        "precision": one.precision,
        "recall": one.recall,
        "rmse_px": one.rmse_px,
        "rmse_pm": one.rmse_pm,
        "bias_px": list(one.bias_px),
        "found": one.found,
        "missed": one.missed,
        "extra": one.extra,
    }


def _maybe(one: Detection | None) -> dict[str, Any] | None:
    return None if one is None else _scores(one)


def _agreement(evaluation: Evaluation) -> dict[str, Any] | None:
    agreed = evaluation.agreement
    return None if agreed is None else {"mean_f1": agreed.mean_f1, "mean_iou": agreed.mean_iou, "with_others": agreed.with_others.tolist()}


def _convergence(one: Convergence) -> dict[str, Any]:
    return {
        "members": one.members.tolist(),
        "correlation": one.correlation.tolist(),
        "spread": one.spread.tolist(),
        "apart": one.apart.tolist(),
        "enough_for_0.9": one.enough(0.9),
    }


def _calibration(evaluation: Evaluation) -> dict[str, Any] | None:
    found = evaluation.calibration
    if found is None:
        return None
    numbers = {name: value for name, value in asdict(found).items() if isinstance(value, float)}
    bins = {"error_by_std": found.error_by_std, "pixels": found.pixels, "atoms": found.atoms}
    return {**numbers, "pixel_calibration_error": found.pixels.error, "atom_calibration_error": found.atoms.error} | {
        name: _reliability(one) for name, one in bins.items()
    }


def _reliability(one: Reliability) -> dict[str, Any]:
    return {"edges": one.edges.tolist(), "count": one.count.tolist(), "predicted": one.predicted.tolist(), "observed": one.observed.tolist()}


def _frame(one: FrameFigures, classes: tuple[str, ...]) -> dict[str, Any]:
    kinds = one.atoms[:, 2].astype(int)
    return {
        "frame": one.frame,
        "atoms": len(one.atoms),
        "atoms_by_class": {name: int(np.sum(kinds == k)) for k, name in enumerate(classes)},
        "member_atoms": list(one.member_atoms),
        "agreement_f1": None if one.agreement is None else one.agreement.mean_f1,
        "agreement_iou": None if one.agreement is None else one.agreement.mean_iou,
        "median_std": one.median_std,
        "flags": list(one.flags),
        "overall": _maybe(one.overall),
        "by_class": None if one.by_class is None else {name: _scores(part) for name, part in zip(classes, one.by_class, strict=True)},
    }


def _plain(value: Any) -> Any:
    """The same without NaN, which JSON does not have."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
