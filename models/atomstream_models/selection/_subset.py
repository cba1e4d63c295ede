"""The bundle of the members that were chosen."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from ..bundle import Bundle, Card, MemberSource, parse_card, write_bundle
from ..errors import InputError
from ..runtime import golden_of, load_ensemble
from ._score import MemberScores

_DIGITS = 4


def subset_bundle(
    bundle: Bundle,
    members: Sequence[str],
    out: Path,
    *,
    version: str,
    reason: str = "",
    scores: Sequence[MemberScores] = (),
    frames: str = "",
) -> Card:
    """Write a bundle that holds only some members into the new or empty folder `out`; returns its card.

    The card keeps everything of its parent's and gains `selection`: the members, every member's scores, the reason, the parent's
    sha256 and the frames. That key says that somebody has chosen. The golden frames are the parent's,
    answered anew by the members that are left.

    members : their ids, in any order; the parent's order is kept
    version : of the new bundle
    reason : in the chooser's words
    scores : what the choice was made on, of all members of the parent
    frames : on which frames, in words

    Raises
    ------
    InputError
        for no member, one that the bundle does not have, or a folder that is not empty.
    BundleError
        where the card would not be valid.
    """
    unknown = [member for member in members if member not in bundle.card.member_ids]
    if unknown:
        raise InputError(f"{bundle.card.name} {bundle.card.version} has no member {', '.join(unknown)}; it has {', '.join(bundle.card.member_ids)}")
    if not members:
        raise InputError("a bundle needs a member")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is there already and is not an empty folder")
    parent = json.loads((bundle.folder / "card.json").read_bytes())
    chosen = [entry for entry in bundle.card.members if entry.id in members]
    about: dict[str, Any] = {key: value for key, value in parent.items() if key not in ("schema", "members", "golden")}
    about["version"] = version
    about["created"] = datetime.now(UTC).isoformat(timespec="seconds")
    about["selection"] = {
        "members": [entry.id for entry in chosen],
        "scores": {one.member: _as_json(one) for one in scores},
        "reason": reason,
        "parent": bundle.sha256,
        "parent_version": bundle.card.version,
        "frames": frames,
    }
    sources = [MemberSource(one.id, bundle.member_path(one.id), one.architecture, one.seed, one.metrics) for one in chosen]
    # Without golden frames the bundle can run already, which is how their answers are found.
    ensemble = load_ensemble(Bundle(out, write_bundle(out, about, sources), sha256=""))
    golden = [golden_of(one.frame, one.pixel_size_nm, ensemble) for one in bundle.golden()]
    ensemble.close()
    write_bundle(out, about, sources, golden)
    return _keep_more(out, parent)


def _as_json(one: MemberScores) -> dict[str, float | None]:
    """The combined score, its parts and the number of atoms; null where a score can't be said."""
    numbers = {"artifact": one.artifact, **one.parts, "atoms": one.atoms}
    return {name: round(value, _DIGITS) if np.isfinite(value) else None for name, value in numbers.items()}


def _keep_more(out: Path, parent: dict[str, Any]) -> Card:
    """Give the members' entries back the keys that this version does not know of."""
    file = out / "card.json"
    card = json.loads(file.read_bytes())
    before = {entry["id"]: entry for entry in parent["members"]}
    card["members"] = [{**before[entry["id"]], **entry} for entry in card["members"]]
    data = (json.dumps(card, indent=2) + "\n").encode()
    parsed = parse_card(data)
    file.write_bytes(data)
    return parsed
