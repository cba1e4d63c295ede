"""What the demo shows while it runs: a live table in a terminal, plain lines elsewhere, nothing where it is headless."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Protocol

from rich.console import Console
from rich.live import Live
from rich.table import Table

_COLUMNS = ("frame", "atoms", "F1", "RMSE px", "ms", "fps", "members")


class Show(Protocol):
    """Takes each frame's figures, and remarks between them."""

    def frame(self, figures: dict[str, Any]) -> None: ...

    def say(self, remark: str) -> None: ...


class _Silent:
    def frame(self, figures: dict[str, Any]) -> None:
        """Nobody looks."""

    def say(self, remark: str) -> None:
        """Nobody listens."""


class _Lines:
    def __init__(self) -> None:
        print("".join(f"{name:>9}" for name in _COLUMNS), flush=True)

    def frame(self, figures: dict[str, Any]) -> None:
        print("".join(f"{cell:>9}" for cell in _cells(figures)), flush=True)

    def say(self, remark: str) -> None:
        print(f"         {remark}", flush=True)


class _Live:
    def __init__(self, live: Live, table: Table) -> None:
        self._live = live
        self._table = table

    def frame(self, figures: dict[str, Any]) -> None:
        self._table.add_row(*_cells(figures))
        self._live.refresh()

    def say(self, remark: str) -> None:
        self._live.console.print(remark)


@contextlib.contextmanager
def table(headless: bool) -> Iterator[Show]:
    """The way to show figures that fits where the demo runs."""
    console = Console()
    if headless:
        yield _Silent()
    elif not console.is_terminal:
        yield _Lines()
    else:
        rows = Table(title="Atomstream demo")
        for name in _COLUMNS:
            rows.add_column(name, justify="right")
        with Live(rows, console=console, auto_refresh=False, vertical_overflow="visible") as live:
            yield _Live(live, rows)


def _cells(figures: dict[str, Any]) -> list[str]:
    rmse = figures["rmse_px"]
    return [
        str(figures["frame"]),
        str(figures["atoms"]),
        f"{figures['f1']:.4f}",
        "-" if rmse is None else f"{rmse:.3f}",
        f"{figures['latency_ms']:.1f}",
        f"{figures['fps']:.1f}",
        str(len(figures["members_used"])),
    ]
