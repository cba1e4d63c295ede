from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console

from atomstream_models.bundle import Bundle, BundleDiff, Card, Difference, diff_cards, find_bundle, open_bundle, pack, unlisted
from atomstream_models.errors import InputError
from atomstream_models.report import Table, card_tables
from atomstream_models.runtime import accept, load_ensemble

from ._commands import Commands
from ._outputs import whole
from ._tables import print_table

_SUFFIX = ".atomstream"
_SHORT = 12
"""Digits of a checksum that are printed."""
_LONGEST_VALUE = 120


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "bundle", help="pack, check, compare or print bundles", description="Work with ensemble bundles: folders, or zip files of them."
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    one = actions.add_parser("pack", help="a folder as one file", description="Check a bundle's folder and write it as one file.")
    one.add_argument("folder", type=Path, metavar="DIR")
    one.add_argument("out", type=Path, metavar=f"OUT{_SUFFIX}")
    one.add_argument("--force", action="store_true", help="replace a file that is there")
    one.set_defaults(run=_pack)

    one = actions.add_parser(
        "check", help="say whether a bundle can be used", description="Make every check of a bundle that the service makes before it loads it."
    )
    one.add_argument("bundle", metavar="NAME|PATH")
    one.add_argument("--run", action="store_true", dest="golden", help="run the golden frames, too, as the service does before it uses the bundle")
    one.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    one.set_defaults(run=_check)

    one = actions.add_parser(
        "diff",
        help="say what differs between two bundles",
        description="Compare the cards key by key and the members by checksum; exit code 0 if all is equal, else 1.",
    )
    one.add_argument("before", metavar="A", help="a bundle's name or path")
    one.add_argument("after", metavar="B", help="a bundle's name or path")
    one.add_argument("--json", action="store_true", help="for programs")
    one.set_defaults(run=_diff)

    one = actions.add_parser("print", help="show a bundle's card", description="Show what a bundle is, its members and how it was made.")
    one.add_argument("bundle", metavar="NAME|PATH")
    one.add_argument("--json", action="store_true", help="the card itself")
    one.set_defaults(run=_print)


@contextmanager
def _opened(name: str) -> Iterator[Bundle]:
    """A bundle by its name or path, checked; a zip is unpacked for as long as it is needed."""
    with TemporaryDirectory(prefix="atomstream-") as state:
        yield open_bundle(find_bundle(name, Path(state)))


def _pack(given: argparse.Namespace) -> int:
    if not given.folder.is_dir():
        raise InputError(f"{given.folder} is not a folder")
    if given.out.suffix != _SUFFIX:
        raise InputError(f"{given.out} does not end in {_SUFFIX}")
    if given.out.exists() and not given.force:
        raise InputError(f"{given.out} is there already; --force replaces it")
    if given.out.resolve().is_relative_to(given.folder.resolve()):
        raise InputError(f"{given.out} lies in the folder that is to be packed")
    card = open_bundle(given.folder).card
    _refuse_strangers(given.folder, card)
    with whole(given.out) as unfinished:
        pack(given.folder, unfinished)
    print(f"{given.out}: {card.name} {card.version}, {len(card.members)} members, {given.out.stat().st_size / 1e6:.1f} MB")
    return 0


def _refuse_strangers(folder: Path, card: Card) -> None:
    """A file that the card does not name would travel with the bundle unchecked."""
    if strangers := unlisted(folder, card):
        raise InputError(f"{folder} holds {', '.join(strangers)}, which the card does not name; take it out first")


def _check(given: argparse.Namespace) -> int:
    with _opened(given.bundle) as bundle:
        card = bundle.card
        print(f"{card.name} {card.version}: card, checksums, {len(card.members)} members and {len(card.golden)} golden frames are in order")
        if given.golden:
            ensemble = load_ensemble(bundle, given.device)
            try:
                accept(ensemble)
            finally:
                ensemble.close()
            print(f"the golden frames give on {ensemble.device} what the bundle's maker got")
    return 0


def _diff(given: argparse.Namespace) -> int:
    with _opened(given.before) as before, _opened(given.after) as after:
        found = diff_cards(before.card, after.card)
    if given.json:
        print(json.dumps({"same": found.same, **asdict(found)}, indent=2))
    else:
        _print_diff(found)
    return 0 if found.same else 1


def _print_diff(found: BundleDiff) -> None:
    console = Console(highlight=False)
    for title, parts in (("Members", found.members), ("Golden frames", found.golden)):
        print_table(Table(("", "", "A", "B"), [(one.key, one.kind, *_checksums(one)) for one in parts], title), console)
    if found.card:
        print_table(Table(("", "", "A", "B"), [(one.key, one.kind, _value(one.before), _value(one.after)) for one in found.card], "Card"), console)
    else:
        console.print("The cards say the same.")


def _checksums(one: Difference) -> tuple[str, str]:
    return str(one.before or "")[:_SHORT], str(one.after or "")[:_SHORT]


def _value(value: Any) -> str:
    text = "" if value is None else value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"


def _print(given: argparse.Namespace) -> int:
    with _opened(given.bundle) as bundle:
        if given.json:
            print(json.dumps({**bundle.card.model_dump(mode="json", by_alias=True), "sha256": bundle.sha256}, indent=2))
            return 0
        console = Console(highlight=False)
        for table in card_tables(bundle.card):
            print_table(table, console)
            console.print()
    return 0
