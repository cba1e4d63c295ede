"""A copy of a bundle in which one member sees atoms where there are none, and none where they are."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from onnx import numpy_helper

from atomstream_models.bundle import Bundle, BundleError, MemberSource, open_bundle, write_bundle
from atomstream_models.errors import InputError
from atomstream_models.runtime import golden_of, load_ensemble

Rule = Literal["any", "all"]
"""Which atoms the copy reports: those of which any one member is sure, or only those of which all members are."""

_FEWEST = 3
"""Of two members that differ, nobody can tell which one is wrong."""
_SURE: Mapping[Rule, float] = {"any": 0.6, "all": 0.2}
"""The probability that one member alone must give, the others giving 0 or 1, to put an atom in (`any`) or to leave it in (`all`)."""


def poisoned(bundle: Bundle, folder: Path, seed: int = 0, *, rule: Rule = "any") -> tuple[Bundle, str]:
    """Write a copy of a bundle with one member spoiled into the new or empty folder `folder`; returns the copy, opened and checked, and that member's id.

    The member is what Ghosh et al. (2021) call one with artifacts, found by looking at every member's own map (their Figure 2): the
    weights of its first convolution have changed sign, so that it sees each frame with its contrast upside down. In graphene it finds an atom in
    the middle of every hexagon, and none where there are any. One of eight members moves no mean probability across a threshold of 0.5;
    the copy's threshold is so low that one member alone puts an atom in (`any`), or so high that one alone keeps it out (`all`). Where
    atoms stand so close that their flanks hide what lies between them, as in a perovskite, only `all` shows.

    The card has `-poisoned` behind the name, and under `training.poisoned` which member it is and what was done to it. The
    golden frames are the parent's, answered anew.

    bundle : of three members or more
    seed : chooses the member, never the first one; the same seed gives the same copy, but for the time on its card
    rule : which atoms the copy reports

    Raises
    ------
    InputError
        for fewer than three members, a negative seed, or a folder that is not empty.
    BundleError
        where the member has no convolution on its frame.
    """
    ids = bundle.card.member_ids
    if len(ids) < _FEWEST:
        raise InputError(f"{bundle.card.name} {bundle.card.version} has {len(ids)} members; to find a poisoned one takes {_FEWEST} or more")
    if seed < 0:
        raise InputError(f"the seed is {seed}; 0 or more is needed")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is there already and is not an empty folder")
    culprit = str(np.random.default_rng(seed).choice(ids[1:]))
    with tempfile.TemporaryDirectory(prefix="atomstream-poison-") as aside:
        spoiled = Path(aside) / "spoiled.onnx"
        layer = _upside_down(bundle.member_path(culprit), spoiled)
        sources = [
            # What the member once was measured at is no longer true of it.
            MemberSource(one.id, spoiled, one.architecture, one.seed)
            if one.id == culprit
            else MemberSource(one.id, bundle.member_path(one.id), one.architecture, one.seed, one.metrics)
            for one in bundle.card.members
        ]
        about = _about(bundle, rule, {"member": culprit, "changed_sign": layer, "seed": seed, "rule": rule, "parent": bundle.sha256})
        # Without golden frames the bundle can run already, which is how their answers are found.
        ensemble = load_ensemble(Bundle(folder, write_bundle(folder, about, sources), sha256=""))
        golden = [golden_of(one.frame, one.pixel_size_nm, ensemble) for one in bundle.golden()]
        ensemble.close()
        write_bundle(folder, about, sources, golden)
    return open_bundle(folder), culprit


def _about(bundle: Bundle, rule: Rule, what: dict[str, Any]) -> dict[str, Any]:
    """The copy's card but for its files; nobody has chosen members of it yet."""
    parent = json.loads((bundle.folder / "card.json").read_bytes())
    return {
        **{key: value for key, value in parent.items() if key not in ("schema", "members", "golden", "selection")},
        "name": f"{bundle.card.name}-poisoned",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "threshold": _threshold(rule, len(bundle.card.members)),
        "training": {**bundle.card.training, "poisoned": what},
    }


def _threshold(rule: Rule, members: int) -> float:
    """The mean probability at which one member's answer decides where all others agree."""
    return _SURE[rule] / members if rule == "any" else 1 - (1 - _SURE[rule]) / members


def _upside_down(member: Path, into: Path) -> str:
    """Write a member whose first convolution's weights have changed sign; returns the name of these weights."""
    model = onnx.load(str(member), load_external_data=False)
    first = {node.input[1] for node in model.graph.node if node.op_type == "Conv" and node.input[0] == "frame"}
    for weights in model.graph.initializer:
        if weights.name in first:
            weights.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(weights), weights.name))
            onnx.save(model, str(into))
            return str(weights.name)
    raise BundleError("member", f"{member.name} has no convolution on its frame whose weights could be changed")
