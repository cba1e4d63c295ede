from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from atomstream_models.bundle import Bundle, open_bundle, unpack

from ..errors import AtomstreamError


class NotRegistered(AtomstreamError):
    pass


@dataclass(frozen=True)
class RegistryEntry:
    name: str
    version: str
    sha256: str
    folder: Path
    source: str = "stub"

    def as_json(self) -> dict[str, object]:
        return {"name": self.name, "version": self.version, "sha256": self.sha256}


class Registry:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def adopt(self, bundle: Bundle, source: str, actor: str) -> RegistryEntry:
        to = self._folder / bundle.card.name / bundle.card.version
        if not to.exists():
            shutil.copytree(bundle.folder, to)
        return self.get(bundle.card.name, bundle.card.version)

    def get(self, name: str, version: str) -> RegistryEntry:
        to = self._folder / name / version
        if not to.exists():
            raise NotRegistered(f"there is no ensemble {name} {version}")
        return RegistryEntry(name, version, open_bundle(to).sha256, to)

    def entries(self) -> list[RegistryEntry]:
        return [self.get(one.parent.name, one.name) for one in sorted(self._folder.glob("*/*"))]

    def remove(self, name: str, version: str) -> None:
        shutil.rmtree(self._folder / name / version)

    def upload(self, limit_bytes: int) -> Upload:
        return Upload(self)


class Upload:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._data = bytearray()

    def __enter__(self) -> Upload:
        return self

    def __exit__(self, *ignored: object) -> None:
        pass

    def write(self, chunk: bytes) -> None:
        self._data += chunk

    def accept(self, source: str, actor: str) -> RegistryEntry:
        folder = Path(tempfile.mkdtemp())
        (folder / "a.zip").write_bytes(self._data)
        unpack(folder / "a.zip", folder / "b")
        return self._registry.adopt(open_bundle(folder / "b"), source, actor)
