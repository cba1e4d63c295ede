"""From files to networks: every shape in which AtomAI's users keep their weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...errors import InputError
from ..networks.atomai import AtomAINetwork, AtomAISettings, build_atomai
from ._container import LIMITS, CheckpointLimits, Saved, open_saved
from ._errors import CheckpointRefused
from ._infer import infer_settings
from ._pickle import Inert, StoredTensor

_ENDINGS = ((".tar", ".pt", ".pth"), (".onnx",))
"""Endings of the files that are taken from a folder: checkpoints, or where there are none ONNX models."""

_WRAPPERS = ("weights", "ensemble", "state_dict", "model_state_dict")
"""Keys under which weights are found, the first that is there."""


@dataclass(frozen=True)
class CheckpointMember:
    """One trained network of a checkpoint.

    file : the file it was in
    number : its number in that file
    weights : its state dict, float32
    threshold : foreground probability at which an atom begins, where the file says
    told : whether the file itself says how its feature maps grow; else AtomAI's default was taken
    """

    file: Path
    number: int
    settings: AtomAISettings
    weights: Mapping[str, Tensor]
    threshold: float | None
    told: bool

    def network(self) -> AtomAINetwork:
        """The network with its weights, ready to answer."""
        network = build_atomai(self.settings)
        network.load_state_dict({**network.state_dict(), **self.weights})
        return network.eval()


def read_checkpoints(paths: Sequence[Path], limits: CheckpointLimits = LIMITS) -> list[CheckpointMember]:
    """The networks in files of AtomAI's: single models, ensembles, bare state dicts, bare ensembles of them; of a folder, those in all its files.

    Raises
    ------
    CheckpointRefused
        for a file that can't be used, saying why.
    InputError
        for no file at all, a folder without checkpoints, and where two networks are the same.
    """
    if not paths:
        raise InputError("no checkpoint was given")
    members = [member for path in model_files(paths) for member in read_checkpoint(path, limits)]
    for k, member in enumerate(members):
        for other in members[:k]:
            if _same(member, other):
                names = " and ".join(f"number {one.number} of {one.file.name}" for one in (other, member))
                raise InputError(f"{names} are the same network; members that always agree would make the ensemble look surer than it is")
    return members


def model_files(paths: Sequence[Path]) -> list[Path]:
    """The files that are meant: those given, and of a folder the checkpoints in it, or the ONNX models, in order of name.

    Raises
    ------
    InputError
        for a folder without any, and a file that is not there.
    """
    files: list[Path] = []
    for path in paths:
        if not path.exists():
            raise InputError(f"{path} is not there")
        files += _in_folder(path) if path.is_dir() else [path]
    return files


def _in_folder(folder: Path) -> list[Path]:
    for endings in _ENDINGS:
        if found := sorted(file for file in folder.iterdir() if file.suffix in endings and not file.name.startswith(".")):
            return found
    raise InputError(f"{folder} holds no file that ends in {', '.join(ending for endings in _ENDINGS for ending in endings)}")


def read_checkpoint(path: Path, limits: CheckpointLimits = LIMITS) -> list[CheckpointMember]:
    """The networks in one file, in its order.

    Raises
    ------
    CheckpointRefused
        for a file that can't be used, saying why.
    """
    with open_saved(path, limits) as saved:
        about, states = _states(saved)
        return [_member(path, number, saved, about, state) for number, state in enumerate(states)]


def _member(path: Path, number: int, saved: Saved, about: Mapping[Any, Any], state: Mapping[str, StoredTensor]) -> CheckpointMember:
    state = _without_prefix(state)
    settings = infer_settings({key: stored.shape for key, stored in state.items()}, about, path.name)
    weights = {key: saved.tensor(stored) for key, stored in state.items()}
    for key, tensor in weights.items():
        if not bool(torch.isfinite(tensor).all()):
            raise CheckpointRefused(f"{path.name}: {key} of network {number} holds numbers that are not finite; its training diverged")
    return CheckpointMember(path, number, settings, weights, _threshold(about, path.name), bool(about.get("upsampling")))


def _states(saved: Saved) -> tuple[Mapping[Any, Any], list[Mapping[str, StoredTensor]]]:
    """What the file says of its networks, and the state dict of each."""
    content = saved.content
    if isinstance(content, Inert):
        raise CheckpointRefused(f"{saved.name} is a whole pickled object, which needs code to load; save its state_dict() instead")
    if not isinstance(content, dict):
        raise CheckpointRefused(f"{saved.name} holds a {type(content).__name__}, not AtomAI's dictionary")
    kind = content.get("model_type", "seg")
    if kind == "Seg":
        raise CheckpointRefused(f"{saved.name} is a network of your own (model_type 'Seg'), whose code is not in the file; export it to ONNX and import that")
    if kind != "seg":
        raise CheckpointRefused(f"{saved.name} is of model_type {str(kind)[:40]!r}; only AtomAI's segmentation models ('seg') find atoms")
    wrapper = next((key for key in _WRAPPERS if isinstance(content.get(key), dict)), None)
    weights = content if wrapper is None else content[wrapper]
    about = {} if wrapper is None else content
    states = [weights[key] for key in sorted(weights)] if weights and all(isinstance(key, int) for key in weights) else [weights]
    for state in states:
        if not isinstance(state, dict) or not state or not all(isinstance(key, str) and isinstance(value, StoredTensor) for key, value in state.items()):
            raise CheckpointRefused(f"{saved.name} holds no weights: {'its content' if wrapper is None else repr(wrapper)} is not a state dict or several")
    return about, states


def _without_prefix(state: Mapping[str, StoredTensor]) -> Mapping[str, StoredTensor]:
    """Names as they were before DataParallel put `module.` in front of them."""
    while all(key.startswith("module.") for key in state):
        state = {key.removeprefix("module."): stored for key, stored in state.items()}
    return state


def _threshold(about: Mapping[Any, Any], name: str) -> float | None:
    """The threshold that a reusability study of AtomAI (2024) chose on validation and stored beside the weights."""
    value = about.get("binary_thresh")
    if value is None:
        return None
    if not isinstance(value, int | float) or not 0 < value < 1:
        raise CheckpointRefused(f"{name} says binary_thresh {str(value)[:40]}, which is not a probability between 0 and 1")
    return float(value)


def _same(one: CheckpointMember, other: CheckpointMember) -> bool:
    return one.settings == other.settings and all(torch.equal(one.weights[key], other.weights[key]) for key in one.weights if key in other.weights)
