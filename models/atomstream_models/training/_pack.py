"""From trained members to a bundle: threshold, metrics, golden frames, card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..analysis import Inferred, finish, infer, prepare
from ..bundle import Bundle, Card, GoldenFrame, MemberSource, write_bundle
from ..locate import locate
from ..metrics import score
from ..runtime import LoadedEnsemble, load_ensemble
from ..simulation import MicroscopeFrame, SimulatedMicroscope, labelled
from ._config import FirstEnsemble
from ._networks import HalfResolutionUNet

_VALIDATION_SEEDS = (901, 902)
_GOLDEN_SEEDS = (911, 912)
_THRESHOLDS = (0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6)
_MATCH = 0.35


def pack_first_ensemble(config: FirstEnsemble, trained: Path, out: Path, name: str, bundle_version: str) -> Card:
    """Write the bundle of the members in `trained` (m00.onnx, ...) to the folder `out`.

    The threshold is the one with the best F1 on simulated frames, mild to drifted, whose seeds no training used.
    """
    about: dict[str, Any] = {
        "name": name,
        "version": bundle_version,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "classes": ["host", "impurity"],
        "background": 2,
        "origin": "simulated",
        "normalization": {"name": "robust", "parameters": {}},
        "pixel_size_nm": list(config.pixel_size_nm),
        "threshold": 0.5,
        "downsample": HalfResolutionUNet.downsample,
        "training": {
            "config": asdict(config),
            "code": f"atomstream {version('atomstream')}",
            "data": "simulated graphene and square lattices, see atomstream_models.training",
            "parent": None,
        },
        "license": "MIT",
    }
    members = [MemberSource(f"m{k:02d}", trained / f"m{k:02d}.onnx", "HalfResolutionUNet", config.seed * 1000 + k) for k in range(config.members)]
    ensemble = _without_golden(out, write_bundle(out, about, members))
    frames = [frame for seed in _VALIDATION_SEEDS for frame in _movie(seed)]
    inferred = [_run(frame, ensemble) for frame in frames]
    about["threshold"] = max(_THRESHOLDS, key=lambda threshold: _mean_f1(frames, [one.mean for one in inferred], threshold))
    measured = [
        MemberSource(
            one.id, one.onnx, one.architecture, one.seed, {"validation_f1": round(_mean_f1(frames, [i.maps[k] for i in inferred], about["threshold"]), 4)}
        )
        for k, one in enumerate(members)
    ]
    about["training"]["validation_f1"] = round(_mean_f1(frames, [one.mean for one in inferred], about["threshold"]), 4)
    final = _without_golden(out, write_bundle(out, about, measured))
    return write_bundle(out, about, measured, [_golden(seed, final) for seed in _GOLDEN_SEEDS])


def _without_golden(folder: Path, card: Card) -> LoadedEnsemble:
    """A bundle that is being made: it can run, but not yet be opened as users do, because its golden frames come last."""
    return load_ensemble(Bundle(folder, card, sha256=""))


def _movie(seed: int) -> list[MicroscopeFrame]:
    microscope = SimulatedMicroscope(seed, (256, 320))
    return [microscope.next_frame() for _ in range(32)][::6]


def _run(frame: MicroscopeFrame, ensemble: LoadedEnsemble) -> Inferred:
    prepared = prepare(frame.image, (frame.pixel_nm, frame.pixel_nm), ensemble.card)
    return infer(prepared, ensemble.card, ensemble.card.member_ids, ensemble.run)


def _f1(frame: MicroscopeFrame, positions: Any) -> float:
    return score(positions, frame.atoms_yx, _MATCH * frame.neighbour_px, labelled(frame)).f1


def _mean_f1(frames: Sequence[MicroscopeFrame], maps: Sequence[NDArray[np.float32]], threshold: float) -> float:
    return float(np.mean([_f1(frame, locate(one, None, (), threshold)[:, :2]) for frame, one in zip(frames, maps, strict=True)]))


def _golden(seed: int, ensemble: LoadedEnsemble) -> GoldenFrame:
    frame = SimulatedMicroscope(seed, (128, 160)).next_frame()
    answer = finish(_run(frame, ensemble), ensemble.card)
    return GoldenFrame(frame.image, frame.pixel_nm, answer.mean, answer.std, len(answer.atoms))
