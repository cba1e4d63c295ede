"""What is different between two bundles."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ._card import Card

Kind = Literal["equal", "added", "removed", "changed"]
"""added = only the second has it; removed = only the first has it."""

_FILES = ("members", "golden")


@dataclass(frozen=True)
class Difference:
    """One key of the cards, one member or one golden frame.

    key : dotted, such as `training.config.seed`; `members.m00` for a member, `golden/00.npz` for a golden frame
    kind : what became of it
    before, after : its values, checksums for files; None where it isn't there
    """

    key: str
    kind: Kind
    before: Any = None
    after: Any = None


@dataclass(frozen=True)
class BundleDiff:
    """Two bundles compared.

    card : differences of the cards' keys, members and golden frames left out, equal ones left out, too
    members : every member by its id, compared by the checksum of its file
    golden : every golden frame by its file, compared by its checksum
    """

    card: tuple[Difference, ...]
    members: tuple[Difference, ...]
    golden: tuple[Difference, ...]

    @property
    def same(self) -> bool:
        """Whether nothing is different."""
        return not self.card and all(one.kind == "equal" for one in (*self.members, *self.golden))


def diff_cards(before: Card, after: Card) -> BundleDiff:
    """Compare two bundles by their cards, which hold the checksums of all their files.

    What the cards say of a member of both beside its file (architecture, seed, metrics) is compared as keys of the card.
    """
    both = set(before.member_ids) & set(after.member_ids)
    members = [{f"members.{one.id}": one.sha256 for one in card.members} for card in (before, after)]
    golden = [{one.file: one.sha256 for one in card.golden} for card in (before, after)]
    return BundleDiff(
        tuple(one for one in _compared(_keys(before, both), _keys(after, both)) if one.kind != "equal"),
        tuple(_compared(*members)),
        tuple(_compared(*golden)),
    )


def _keys(card: Card, members: Collection[str]) -> dict[str, Any]:
    whole = card.model_dump(mode="json", by_alias=True)
    absent = {"selection"} if card.selection is None else set()
    about = dict(_flat({key: value for key, value in whole.items() if key not in _FILES and key not in absent}))
    for member in whole["members"]:
        if member["id"] in members:
            about |= dict(_flat({key: value for key, value in member.items() if key not in ("id", "sha256")}, f"members.{member['id']}"))
    return about


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves by their dotted keys; a list is a leaf, because what moved in it is one change, and so is an empty mapping."""
    if isinstance(value, Mapping) and (value or not key):
        for name, one in value.items():
            yield from _flat(one, f"{key}.{name}" if key else str(name))
    else:
        yield key, value


def _compared(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Difference]:
    for key in [*before, *(key for key in after if key not in before)]:
        kind: Kind = "added" if key not in before else "removed" if key not in after else "equal" if before[key] == after[key] else "changed"
        yield Difference(key, kind, before.get(key), after.get(key))
