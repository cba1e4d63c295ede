"""Tables of a report on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table as Printed
from rich.text import Text

from atomstream_models.report import Table, cell_text

_GAP = 2
_LONGEST = 20
"""Longer cells, such as checksums, are folded where there is no room for them ..."""
_FIRST_SHARE = 0.75
"""... but for the first column, which says what a row is about, up to that share of the width."""


def print_table(table: Table, console: Console) -> None:
    """Print a report's table, folded between words; columns for which there is no room follow below, beside the first one again."""
    title = table.caption
    for columns, widths in fitted(_needs(table, console.width), console.width):
        printed = Printed(title=title or None, title_justify="left", show_header=any(table.columns), box=None, pad_edge=False, title_style="bold")
        for k, width in zip(columns, widths, strict=True):
            printed.add_column(table.columns[k], overflow="fold", justify="right" if table.numeric(k) else "left", width=width)
        for row in table.rows:
            printed.add_row(*(Text(cell_text(row[k])) for k in columns))
        console.print(printed)
        title = ""


def fitted(needs: Sequence[tuple[int, int]], width: int) -> list[tuple[list[int], list[int]]]:
    """How columns share a terminal's width: for each table to print, which columns it has, the first always among them, and how wide they are.

    needs : least and greatest width of each column
    """
    blocks: list[list[int]] = [[0]]
    for k in range(1, len(needs)):
        columns = [*blocks[-1], k]
        if len(columns) > 2 and sum(needs[c][0] for c in columns) + _GAP * (len(columns) - 1) > width:
            columns = [0, k]
            blocks.append(columns)
        else:
            blocks[-1] = columns
    return [(columns, _widths([needs[c] for c in columns], width)) for columns in blocks]


def _widths(needs: Sequence[tuple[int, int]], width: int) -> list[int]:
    widths = [least for least, _ in needs]
    left = width - sum(widths) - _GAP * (len(widths) - 1)
    if left < 0:
        # Two columns that want too much: the first one gives way.
        widths[0] = max(1, widths[0] + left)
    for k, (_, most) in enumerate(needs):
        more = max(0, min(left, most - widths[k]))
        widths[k] += more
        left -= more
    return widths


def _needs(table: Table, width: int) -> list[tuple[int, int]]:
    """Least and greatest width of each column: headings are folded between words, cells only where they are long."""
    needs = []
    for k, name in enumerate(table.columns):
        cells = [line for row in table.rows for line in cell_text(row[k]).splitlines()]
        longest = int(_FIRST_SHARE * width) if k == 0 else _LONGEST
        least = max([1, *(len(word) for word in name.split()), *(len(line) for line in cells)])
        needs.append((min(least, longest), max(len(name), least)))
    return needs
