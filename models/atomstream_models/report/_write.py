"""A report as one HTML file."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..errors import ExtraMissing
from ._parts import Section, Table, cell_text

_MIME = {"png": "image/png", "svg": "image/svg+xml"}


def require_packages() -> None:
    """Say before long work, rather than after it, that a report can't be drawn or written.

    Raises
    ------
    ExtraMissing
        where matplotlib or jinja2 is not installed.
    """
    for package in ("matplotlib", "jinja2"):
        if find_spec(package) is None:
            raise ExtraMissing(package, "train")


def write_report(path: Path, title: str, sections: Sequence[Section], *, subtitle: str = "") -> None:
    """Write a report that needs no other file and no network, and prints well from a browser.

    The file is complete or not there: it is written beside `path` and then takes its place.

    Raises
    ------
    ExtraMissing
        where jinja2 is not installed.
    OSError
        where the file can't be written.
    """
    html = _html(title, sections, subtitle)
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        unfinished.write_text(html, encoding="utf-8")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _html(title: str, sections: Sequence[Section], subtitle: str) -> str:
    try:
        from jinja2 import Environment, StrictUndefined  # noqa: PLC0415
    except ImportError as error:
        raise ExtraMissing("jinja2", "train") from error
    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = page.from_string((files(__package__) / "report.html").read_text(encoding="utf-8"))
    return template.render(title=title, subtitle=subtitle, sections=[_section(one) for one in sections])


def _section(section: Section) -> dict[str, Any]:
    return {
        "title": section.title,
        "paragraphs": [part.strip() for part in section.text.split("\n\n") if part.strip()],
        "figures": [
            {"source": f"data:{_MIME[one.kind]};base64,{base64.b64encode(one.data).decode()}", "caption": one.caption, "alt": one.alt or one.caption}
            for one in section.figures
        ],
        "tables": [_table(one) for one in section.tables],
    }


def _table(table: Table) -> dict[str, Any]:
    return {
        "columns": list(table.columns),
        "rows": [[cell_text(cell) for cell in row] for row in table.rows],
        "numeric": [table.numeric(k) for k in range(len(table.columns))],
        "caption": table.caption,
        "folded": table.folded,
    }
