from __future__ import annotations

import io

from rich.console import Console

from atomstream_models.report import Table
from atomstream_service.cli._tables import print_table


def _printed(table: Table, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    print_table(table, console)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_no_word_is_broken_and_what_finds_no_room_follows_beside_the_first_column() -> None:
    columns = ("member", *(f"measured number{k}" for k in range(8)))
    lines = _printed(Table(columns, [(f"m{k:02d}", *("0.1234",) * 8) for k in range(2)], "Members"), 60)
    words = [word for line in lines for word in line.split()]

    assert max(map(len, lines)) <= 60
    assert set(words) == {"Members", "member", "measured", *(f"number{k}" for k in range(8)), "m00", "m01", "0.1234"}
    assert words.count("0.1234") == 16
    assert words.count("m00") == words.count("member") > 1


def test_a_long_key_keeps_its_line_and_a_long_value_is_folded() -> None:
    lines = _printed(Table(("key", "value"), [("training.recipe.data.scenes[0].vacancies_chance", "a" * 64), ("b", "short words are kept")]), 80)

    assert max(map(len, lines)) <= 80
    assert any(line.startswith("training.recipe.data.scenes[0].vacancies_chance  a") for line in lines)
    assert sum(line.count("a" * 10) for line in lines) >= 4


def test_a_table_that_fits_is_printed_as_it_is() -> None:
    assert _printed(Table(("", "ensemble"), [("atoms found", 12)]), 80) == ["             ensemble", "atoms found        12"]
