"""From AtomAI's checkpoints to a bundle."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...bundle import Card, MemberSource
from ...errors import InputError
from ...runtime import LoadedEnsemble
from .._export import export_member
from .._pack import ExportDiffers
from ..losses import probabilities
from ._about import About, Background, Origin, member_id, sources_of
from ._bundle import golden_frames, make_bundle, refuse_taken
from ._checkpoint import CheckpointMember, read_checkpoints

TOLERANCE = 1e-5
"""Largest difference in probability between an exported member and its network."""

Progress = Callable[[Sequence[CheckpointMember]], Iterable[CheckpointMember]]
"""Goes through the members and may show how far it is."""


def import_checkpoints(
    paths: Sequence[Path],
    out: Path,
    *,
    name: str,
    version: str,
    classes: Sequence[str],
    pixel_size_nm: tuple[float, float] | None,
    threshold: float | None = None,
    normalization: str = "minmax",
    background: Background | None = None,
    origin: Origin = "simulated",
    license: str = "",  # noqa: A002
    golden: Sequence[NDArray[Any]] = (),
    progress: Progress = iter,
) -> Card:
    """Make a bundle of AtomAI's checkpoints, whose members answer as AtomAI does; returns its card.

    The bundle's frames are normalised one by one and padded by reflection, where AtomAI takes a stack as a whole and pads with zeros: frames
    whose sides are multiples of the card's `downsample`, given to AtomAI one at a time, get the same probabilities.

    paths : files, or folders of files; all networks in them become members of one ensemble
    out : a new folder, or a new file whose name ends in .atomstream
    classes : names of the atom classes in channel order, background left out
    pixel_size_nm : range of pixel sizes that the networks know, in nm; None where it is unknown: frames are then never resampled
    threshold : foreground probability at which an atom begins; None takes the median of what the files say, or 0.5
    normalization : `minmax` as AtomAI does it, `robust` or `none`
    background : None follows AtomAI: one channel is the atoms, and of more the last is the background
    origin : whether the networks were trained on simulated or on experimental frames
    golden : two frames (rows, columns) to accept the bundle with; simulated ones where none are given
    progress : goes through the members while they are exported

    Raises
    ------
    CheckpointRefused
        for a file that can't be used.
    InputError
        for networks that do not belong in one ensemble, and classes that do not fit them.
    ExportDiffers
        where a member as ONNX differs from its network by more than 1e-5.
    BundleError
        where the card would not be valid.
    """
    refuse_taken(out)
    members = read_checkpoints(paths)
    channels = _channels(members)
    about = About(name, version, tuple(classes), pixel_size_nm, normalization, origin, license)
    networks = [member.network() for member in members]
    card = about.card(
        channels,
        background=background or ("last" if channels > 1 else "none"),
        downsample=max(network.downsample for network in networks),
        threshold=_threshold(threshold, members),
        training=sources_of(sorted({member.file for member in members}), "AtomAI", {member_id(k): _note(one) for k, one in enumerate(members)}),
    )
    frames = golden_frames(golden, pixel_size_nm)

    def check(ensemble: LoadedEnsemble, tensor: NDArray[np.float32]) -> None:
        for member, network, got in zip(members, networks, ensemble.run(tensor, ensemble.card.member_ids), strict=True):
            with torch.inference_mode():
                worst = float(np.abs(probabilities(network(torch.from_numpy(tensor)))[0].numpy() - got).max())
            if not worst <= TOLERANCE:
                raise ExportDiffers(f"number {member.number} of {member.file.name} as ONNX differs from its network by {worst:.2g}, more than {TOLERANCE:g}")

    with tempfile.TemporaryDirectory() as scratch:
        sources = []
        for k, (member, network) in enumerate(zip(progress(members), networks, strict=True)):
            path = Path(scratch) / f"{k}.onnx"
            export_member(network, path, downsample=network.downsample, alike=member.settings)
            sources.append(MemberSource(member_id(k), path, str(member.settings)))
        return make_bundle(out, card, sources, frames, check)


def _channels(members: Sequence[CheckpointMember]) -> int:
    """Output channels, the same for all."""
    found = {member.settings.channels: member for member in members}
    if len(found) != 1:
        words = [f"{member.file.name} has {channels} output channels" for channels, member in sorted(found.items())]
        raise InputError(f"members of one ensemble answer with the same classes, but {' and '.join(words)}")
    return next(iter(found))


def _threshold(given: float | None, members: Sequence[CheckpointMember]) -> float:
    told = [member.threshold for member in members if member.threshold is not None]
    return given if given is not None else median(told) if told else 0.5


def _note(member: CheckpointMember) -> dict[str, Any]:
    """A member's settings for the card, and where it was."""
    assumed = [] if member.told else ["upsampling"]
    return {"file": member.file.name, "number": member.number, **asdict(member.settings), "threshold": member.threshold, "assumed": assumed}
