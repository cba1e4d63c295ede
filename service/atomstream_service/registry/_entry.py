"""What the registry knows of a bundle, kept as `entry.json` beside it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from ._disk import settle_file
from .stager import AcceptanceReport

ENTRY = "entry.json"
BUNDLE = "bundle"


@dataclass(frozen=True)
class RegistryEntry:
    """A registered bundle.

    name, version, sha256 : the bundle's, as `Bundle.sha256`
    added : when it came, ISO 8601 with the offset from UTC
    source : the way it came: `upload`, `watch folder`, `refinement`, `shipped`, ...
    actor : who brought it
    size_bytes : of all its files
    report : how it was accepted; None for one that was registered unstaged, because somebody with access to this machine vouched for it
    folder : the bundle's folder, whose files are read-only
    """

    name: str
    version: str
    sha256: str
    added: str
    source: str
    actor: str
    size_bytes: int
    report: AcceptanceReport | None
    folder: Path

    def as_json(self) -> dict[str, Any]:
        """Plain values; where it lies on this machine is left out."""
        values: dict[str, Any] = _ADAPTER.dump_python(self, mode="json", exclude={"folder"})
        return {**values, "report": None if self.report is None else self.report.as_json()}


def write_entry(home: Path, entry: RegistryEntry) -> None:
    """Write a bundle's `entry.json` into its home."""
    file = home / ENTRY
    file.write_text(json.dumps(entry.as_json(), indent=2) + "\n", encoding="utf-8")
    settle_file(file)


def read_entry(home: Path) -> RegistryEntry:
    """The entry of the bundle whose home is NAME/VERSION.

    Raises
    ------
    ValueError, OSError
        where it can't be read or belongs elsewhere.
    """
    values = json.loads((home / ENTRY).read_bytes())
    report = values["report"] and AcceptanceReport.parse(values["report"])
    entry = _ADAPTER.validate_python({**values, "report": report, "folder": home / BUNDLE})
    if (entry.name, entry.version) != (home.parent.name, home.name):
        raise ValueError(f"{home / ENTRY} is that of {entry.name} {entry.version}")
    return entry


_ADAPTER = TypeAdapter(RegistryEntry)
