"""Pages made from the code itself, and from files that live elsewhere in the repository."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from atomstream_models.bundle import open_bundle, shipped_bundles
from atomstream_service.config import Config, config_schema
from atomstream_service.control import create_app
from atomstream_service.control._service import Service

_METHODS = ("get", "put", "post", "patch", "delete")
_RESULTS = "benchmarks/results/README.md"


def write_pages(root: Path) -> None:
    """Write every made page into `docs/made`; a page that is as it was is left alone."""
    made = root / "docs" / "made"
    made.mkdir(exist_ok=True)
    pages = {
        "rest.md": _rest(),
        "settings.md": _settings(),
        "decisions.md": _decisions(root),
        "changes.md": _moved(root, "CHANGELOG.md"),
        "measured.md": _moved(root, _RESULTS),
        **{f"at-{file.parent.name}.md": _moved(root, file.relative_to(root).as_posix()) for file in (root / "clients").glob("*/README.md")},
    }
    for name, text in pages.items():
        file = made / name
        if not file.is_file() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")


def _decisions(root: Path) -> str:
    files = sorted((root / "docs" / "decisions").glob("0*.md"))
    return "# Why things are as they are\n\n```{toctree}\n:maxdepth: 1\n\n" + "\n".join(f"../decisions/{file.stem}" for file in files) + "\n```\n"


def _moved(root: Path, here: str) -> str:
    """A file of the repository as a page; of its links, those to pages and pictures are kept, others become plain text."""
    folder = (root / here).parent

    def kept(match: re.Match[str]) -> str:
        label, target = match[1], match[2]
        if target.startswith(("#", "http")):
            return match[0]
        path, _, anchor = target.partition("#")
        file = (folder / path).resolve()
        is_page = file.suffix == ".md" and file.is_relative_to(root / "docs")
        if not file.is_file() or not (is_page or file.suffix == ".png"):
            return label.strip("!")
        way = file.relative_to(root / "docs").as_posix() if is_page else f"../{file.relative_to(root).as_posix()}"
        return f"[{label}](../{way}{'#' + anchor if anchor else ''})"

    return re.sub(r"\[([^\]]+)\]\(([^)]+)\)", kept, (root / here).read_text(encoding="utf-8"))


def _rest() -> str:
    """Every route, from the description that the service itself gives."""
    with tempfile.TemporaryDirectory() as folder:
        service = Service(Config(state=Path(folder)), open_bundle(shipped_bundles()["graphene"]), lambda: None)
        try:
            described = create_app(service).openapi()
        finally:
            service.store.close()
    lines = ["# REST", "", "A running service describes itself at `/docs`, where every call can be tried.", ""]
    for path, operations in described["paths"].items():
        for method in _METHODS:
            if method in operations:
                lines += _call(path, method, operations[method])
    return "\n".join(lines) + "\n"


def _call(path: str, method: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f"## `{method.upper()} {path}`\n"
    yield f"{operation.get('description') or operation['summary']}\n"
    if parameters := operation.get("parameters"):
        yield "| | where | |\n|---|---|---|"
        for one in parameters:
            yield f"| `{one['name']}` | {one['in']} | {_cell(one.get('description') or one.get('schema', {}).get('description') or '')} |"
        yield ""
    codes = ", ".join(f"{code} ({answer['description'].splitlines()[0].rstrip('.')})" for code, answer in operation["responses"].items())
    yield f"Answers: {codes}.\n"


def _settings() -> str:
    """The configuration file, from its schema."""
    schema = json.loads(config_schema())
    lines = ["# Settings", "", "`atomstream serve --config FILE.toml`; the same keys as variables `ATOMSTREAM_...`.", "", *_table(schema)]
    for name, part in schema.get("$defs", {}).items():
        if "properties" in part:
            lines += [f"## {part.get('title', name)}", "", *_table(part)]
    return "\n".join(lines) + "\n"


def _table(part: dict[str, Any]) -> Iterator[str]:
    yield "| key | default | |\n|---|---|---|"
    for key, one in part["properties"].items():
        default = f"`{_cell(json.dumps(one['default']))}`" if "default" in one else ""
        yield f"| `{key}` | {default} | {_cell(one.get('description', ''))} |"
    yield ""


def _cell(text: str) -> str:
    return text.replace("\n", " ").replace("|", "\\|")
