"""Our docstrings say `name : what it is`, a line a parameter or field; the site shows these as a list."""

from __future__ import annotations

import re
from typing import Any

_FIELD = re.compile(r"^(?P<names>\w+(?:, \w+)*) : (?P<text>\S.*)$")


def setup(app: Any) -> dict[str, bool]:
    # Before napoleon, which reads headings with underlines.
    app.connect("autodoc-process-docstring", _listed, priority=100)
    return {"parallel_read_safe": True}


def _listed(app: Any, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    out: list[str] = []
    in_list = False
    for line in lines:
        found = _FIELD.match(line)
        if found:
            if not in_list and out and out[-1].strip():
                out.append("")
            out.append(f"* **{found['names']}**: {found['text']}")
            in_list = True
        elif in_list and line.startswith("    "):
            out.append(f"  {line.strip()}")
        else:
            if in_list and line.strip():
                out.append("")
            in_list = False
            out.append(line)
    # Names of code stand between single backticks.
    lines[:] = [re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\1``", line) for line in out]
