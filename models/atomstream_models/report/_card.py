"""A bundle's card as tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..bundle import Card
from ._parts import Cell, Section, Table

_LONGEST_LIST = 12


def card_tables(card: Card) -> tuple[Table, ...]:
    """What a card says: the ensemble, its members, how it was made. Keys that this version does not know are shown, too."""
    low_high = None if card.pixel_size_nm is None else f"{card.pixel_size_nm[0]:g} to {card.pixel_size_nm[1]:g} nm"
    about: list[tuple[str, Cell]] = [
        ("name", card.name),
        ("version", card.version),
        ("created", card.created),
        ("classes", ", ".join(card.classes)),
        ("trained on", f"{card.origin} frames"),
        ("normalisation", card.normalization.name + "".join(f", {key} {value}" for key, value in card.normalization.parameters.items())),
        ("pixel size", low_high or "any"),
        ("threshold", f"{card.threshold:g}"),
        ("sizes in multiples of", card.downsample),
        ("members", len(card.members)),
        ("golden frames", len(card.golden)),
        ("license", card.license or None),
    ]
    measured = sorted({key for member in card.members for key in member.metrics})
    members = Table(
        ("member", "architecture", "seed", *(key.replace("_", " ") for key in measured), "sha256"),
        [
            (one.id, one.architecture, "" if one.seed is None else str(one.seed), *(_cell(one.metrics.get(key)) for key in measured), one.sha256[:12])
            for one in card.members
        ],
        "Members",
    )
    tables = [Table(("", ""), about, "Ensemble"), members]
    made = [*flat(card.training, "training"), *flat(card.selection or {}, "selection"), *flat(card.model_extra or {})]
    if made:
        tables.append(Table(("key", "value"), made, "How it was made"))
    return tuple(tables)


def card_section(card: Card, title: str = "The ensemble", text: str = "") -> Section:
    """A card as a section of a report."""
    return Section(title, text, tables=card_tables(card))


def flat(value: Any, key: str = "") -> Iterator[tuple[str, Cell]]:
    """Nested keys as pairs of (dotted key, value); short lists of plain values in one line."""
    if isinstance(value, Mapping):
        for name, one in value.items():
            yield from flat(one, f"{key}.{name}" if key else str(name))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        if all(not isinstance(one, (Mapping, list, tuple)) for one in value):
            shown = ", ".join(str(one) for one in value[:_LONGEST_LIST])
            yield key, shown + (f", … ({len(value)} in all)" if len(value) > _LONGEST_LIST else "")
        else:
            for k, one in enumerate(value):
                yield from flat(one, f"{key}[{k}]")
    else:
        yield key, _cell(value)


def _cell(value: Any) -> Cell:
    return value if isinstance(value, (int, float, str)) and not isinstance(value, bool) else None if value is None else str(value)
