"""Tables of a report on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table as Printed
from rich.text import Text

from atomstream_models.report import Table, cell_text


def print_table(table: Table, console: Console) -> None:
    """Print a report's table, cells that are too long for the terminal folded."""
    printed = Printed(title=table.caption or None, title_justify="left", show_header=any(table.columns), box=None, pad_edge=False, title_style="bold")
    for k, column in enumerate(table.columns):
        printed.add_column(column, overflow="fold", justify="right" if table.numeric(k) else "left")
    for row in table.rows:
        printed.add_row(*(Text(cell_text(cell)) for cell in row))
    console.print(printed)
