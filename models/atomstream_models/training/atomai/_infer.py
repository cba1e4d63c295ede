"""Which of AtomAI's networks a set of tensors belongs to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, get_args

from ..networks.atomai import AtomAIKind, AtomAISettings, Upsampling, shapes_of
from ._errors import CheckpointRefused

Shapes = Mapping[str, tuple[int, ...]]

_MARKS: dict[AtomAIKind, str] = {
    "Unet": "upsample_block3.conv.weight",
    "dilnet": "at1.atrous_module.0.weight",
    "ResHedNet": "net1.res_module.0.c0.weight",
    "SegResNet": "c2.res_module.0.c0.weight",
}
"""A tensor that no other kind has."""

_BLOCKS: dict[AtomAIKind, tuple[str, ...]] = {
    "Unet": ("c1", "c2", "c3", "bn"),
    "dilnet": ("c1", "at1", "at2", "c2"),
    "ResHedNet": ("net1", "net2", "net3"),
    "SegResNet": ("c2", "bn", "c3"),
}
"""The blocks whose layers AtomAI counts in `layers`."""

_BOOKKEEPING = "num_batches_tracked"
"""Counted by norms while training; older files lack it."""


def infer_settings(shapes: Shapes, about: Mapping[str, Any], name: str) -> AtomAISettings:
    """The settings of the network that has precisely these tensors.

    Only what tensors do not show is taken from the file's own words: `upsampling`, and `dropout` where it leaves no trace.

    shapes : shape of each tensor by its name in the state dict
    about : what the file says of the network, with AtomAI's keys; may be empty
    name : of the file, for messages

    Raises
    ------
    CheckpointRefused
        where no network of AtomAI's has these tensors, naming one that does not fit.
    """
    kind = next((kind for kind, mark in _MARKS.items() if mark in shapes), None)
    if kind is None:
        raise CheckpointRefused(
            f"{name} holds none of AtomAI's {', '.join(get_args(AtomAIKind))}: its tensors are {_some(shapes)}. A network of your own can be imported as ONNX"
        )
    first, head = ("net1.res_module.0.c0.weight", "out.weight") if kind == "ResHedNet" else ("c1.block.0.weight", "px.weight")
    if min(len(shapes.get(first, ())), len(shapes.get(head, ()))) != 4:
        raise CheckpointRefused(f"{name}: {kind} needs {first} and {head}, its tensors are {_some(shapes)}")
    guess = AtomAISettings(
        kind=kind,
        channels=shapes[head][0],
        filters=shapes[first][0],
        layers=tuple(_layers(shapes, block) for block in _BLOCKS[kind]),
        batch_norm=any(key.endswith("running_mean") for key in shapes),
        upsampling=_upsampling(about, name),
        with_dilation="bn.atrous_module.0.weight" in shapes,
    )
    told = bool(about.get("dropout"))
    options = [replace(guess, dropout=dropout) for dropout in (told, not told)] if kind in ("Unet", "dilnet") else [guess]
    for settings in options:
        if not _misfits(shapes, shapes_of(settings)):
            return settings
    raise CheckpointRefused(f"{name} holds no {guess} of {guess.channels} channels: {_misfits(shapes, shapes_of(options[0]))}")


def _upsampling(about: Mapping[str, Any], name: str) -> Upsampling:
    match about.get("upsampling"):
        case None | "bilinear":
            return "bilinear"
        case "nearest":
            return "nearest"
        case other:
            raise CheckpointRefused(f"{name} says upsampling {str(other)[:40]!r}, which is not one of {', '.join(get_args(Upsampling))}")


def _layers(shapes: Shapes, block: str) -> int:
    """How many layers a block has: its convolutions, or its residual blocks where it is made of those."""
    residual = {match[1] for key in shapes if (match := re.match(rf"{block}\.(?:1\.)?res_module\.(\d+)\.c1\.weight$", key))}
    return len(residual) or sum(key.startswith(f"{block}.") and key.endswith(".weight") and len(shape) == 4 for key, shape in shapes.items())


def _misfits(found: Shapes, wanted: Shapes) -> str:
    """In words, one tensor of each sort that does not fit; empty where all do."""
    here = {key: shape for key, shape in found.items() if not key.endswith(_BOOKKEEPING)}
    there = {key: shape for key, shape in wanted.items() if not key.endswith(_BOOKKEEPING)}
    words = [f"it lacks {key}" for key in sorted(set(there) - set(here))[:1]]
    words += [f"{key} is left over" for key in sorted(set(here) - set(there))[:1]]
    words += [f"{key} is {list(here[key])}, wanted {list(there[key])}" for key in sorted(set(here) & set(there)) if here[key] != there[key]][:1]
    return ", ".join(words)


def _some(shapes: Shapes) -> str:
    keys = sorted(shapes)
    return (", ".join(keys[:3]) + ("..." if len(keys) > 3 else "")) or "none"
