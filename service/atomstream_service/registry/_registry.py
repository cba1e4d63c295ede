"""Bundles on disk by name and version."""

from __future__ import annotations

import logging
import shutil
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from atomstream_models.bundle import LIMITS, Bundle, BundleError, check_files, read_card

from ._disk import arrive, discard, room, settle
from ._entry import BUNDLE, ENTRY, RegistryEntry, read_entry, write_entry
from ._errors import BundleRefused, NotRegistered, VersionTaken
from ._upload import Upload
from .stager import AcceptanceReport, CheckName, Device, StagerLimits, StagerSpec, stage

log = logging.getLogger(__name__)

_SCRATCH = ".scratch"

Key = tuple[str, str]


class Registry:
    """Bundles at `folder/NAME/VERSION/bundle`, each with what is known of it in `entry.json` beside the bundle's folder.

    A bundle never changes once it is here: its files are read-only, and its name and version are not given to another. Work is done in a
    folder of its own and arrives by one rename, so that a bundle is here whole or not at all; what a killed process left is removed at the
    start. Bundles are staged one at a time, so that many uploads at once don't slow the live stream more than one. All calls may come
    from any thread, but one process at a time has a registry.

    folder : made where it isn't there
    device, threads, warm_shapes : on what and how the bundles will run, and are tried
    limits : what opening a bundle may take
    """

    def __init__(
        self,
        folder: Path,
        *,
        device: Device = "auto",
        threads: int | None = None,
        warm_shapes: Sequence[tuple[int, int]] = (),
        limits: StagerLimits | None = None,
    ) -> None:
        self._folder = folder.absolute()
        self._scratch = self._folder / _SCRATCH
        self._device: Device = device
        self._threads = threads
        self._warm_shapes = tuple(warm_shapes)
        self._limits = limits or StagerLimits()
        self._lock = threading.Lock()
        self._staging = threading.Lock()
        discard(self._scratch)
        self._scratch.mkdir(parents=True, exist_ok=True)
        self._entries = dict(self._found())

    def entries(self) -> list[RegistryEntry]:
        """All bundles, in order of name, then of when they came."""
        with self._lock:
            return sorted(self._entries.values(), key=lambda entry: (entry.name, entry.added))

    def get(self, name: str, version: str) -> RegistryEntry:
        """One bundle's entry.

        Raises
        ------
        NotRegistered
            where there is none.
        """
        with self._lock:
            if (name, version) not in self._entries:
                raise NotRegistered(f"there is no ensemble {name} {version}")
            return self._entries[name, version]

    def folder_of(self, name: str, version: str) -> Path:
        """Where a bundle lies; raises NotRegistered."""
        return self.get(name, version).folder

    def verify(self, entry: RegistryEntry) -> None:
        """Compare a bundle's files with their checksums again.

        Raises
        ------
        BundleError
            naming the file that has changed.
        """
        card, sha256 = read_card(entry.folder, self._limits.bundle)
        if sha256 != entry.sha256:
            raise BundleError("checksum", f"card.json of {entry.name} {entry.version} has changed: sha256 is {sha256}, it came as {entry.sha256}")
        check_files(entry.folder, card, self._limits.bundle)

    def remove(self, name: str, version: str) -> None:
        """Remove a bundle; whether it is in use is for the caller to know.

        Raises
        ------
        NotRegistered
            where there is none.
        """
        home = self.folder_of(name, version).parent
        with self._lock:
            if self._entries.pop((name, version), None) is None:
                raise NotRegistered(f"there is no ensemble {name} {version}")
            gone = Path(tempfile.mkdtemp(dir=self._scratch))
            home.rename(gone / version)
            if not any(home.parent.iterdir()):
                home.parent.rmdir()
        discard(gone)

    def upload(self, limit_bytes: int) -> Upload:
        """A bundle's zip that comes in pieces: `with registry.upload(limit) as upload: upload.write(piece); ...; upload.accept("upload", "kim")`.

        limit_bytes : largest zip
        """
        with room(self._folder):
            return Upload(Path(tempfile.mkdtemp(dir=self._scratch)), limit_bytes, self._add)

    def add_archive(self, archive: Path | BinaryIO, source: str, actor: str, *, limit_bytes: int = LIMITS.total_bytes) -> RegistryEntry:
        """Stage and register a bundle's zip; the very bundle that is there already is answered as such, with its entry.

        archive : the zip, or a stream of it
        limit_bytes : largest zip

        Raises
        ------
        BundleRefused
            with the report, where a check failed.
        VersionTaken
            where another bundle has its name and version.
        UploadTooLarge, NoRoom
            where it is too large, or the disk is full.
        """
        if isinstance(archive, Path):
            with archive.open("rb") as stream:
                return self.add_archive(stream, source, actor, limit_bytes=limit_bytes)
        with self.upload(limit_bytes) as upload:
            upload.write_all(archive)
            return upload.accept(source, actor)

    def add_folder(self, folder: Path, source: str, actor: str) -> RegistryEntry:
        """Stage and register a bundle's folder, which is copied; otherwise as `add_archive`."""
        with self._work() as scratch:
            entry, _ = self._add(folder.absolute(), scratch, source, actor)
            return entry

    def adopt(self, bundle: Bundle, source: str, actor: str) -> RegistryEntry:
        """Register a bundle that this process has opened itself, without staging it: the one that an operator starts the service with.

        Raises
        ------
        BundleError
            where a file has changed since it was opened.
        VersionTaken, NoRoom
            as `add_archive`.
        """
        with self._lock:
            there = self._taken(bundle.card.name, bundle.card.version, bundle.sha256)
        if there is not None:
            try:
                self.verify(there)
            except (BundleError, OSError) as error:
                log.error("%s %s is registered but damaged, and comes anew: %s", there.name, there.version, error)
                self.remove(there.name, there.version)
            else:
                return there
        with self._work() as scratch:
            home = scratch / "home"
            for name in ("card.json", *(entry.file for entry in bundle.card.files)):
                (home / BUNDLE / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(bundle.folder / name, home / BUNDLE / name)
            return self._register(home, bundle.sha256, None, source, actor)[0]

    def _add(self, given: Path, scratch: Path, source: str, actor: str) -> tuple[RegistryEntry, bool]:
        """Stage what was given, a zip or a folder, and register it; says whether it is new."""
        home = scratch / "home"
        home.mkdir()
        with self._staging:
            report = self._stage(given, home / BUNDLE, scratch)
            failed = report.failed
            if failed is not None and failed.name is CheckName.IDENTITY:
                raise VersionTaken(failed.detail)
            if failed is not None or report.sha256 is None:
                raise BundleRefused(report)
            return self._register(home, report.sha256, report, source, actor)

    def _stage(self, given: Path, folder: Path, scratch: Path) -> AcceptanceReport:
        spec = StagerSpec(
            given=given,
            folder=folder,
            report=scratch / "report.json",
            registered={f"{entry.name}/{entry.version}": entry.sha256 for entry in self.entries()},
            device=self._device,
            threads=self._threads,
            warm_shapes=self._warm_shapes,
            limits=self._limits,
        )
        return stage(spec, scratch)

    def _register(self, home: Path, sha256: str, report: AcceptanceReport | None, source: str, actor: str) -> tuple[RegistryEntry, bool]:
        """Bring the bundle in `home` to its place; says whether it is new.

        The checksums are compared once more: what is registered is what was opened.
        """
        card, found = read_card(home / BUNDLE, self._limits.bundle)
        if found != sha256:
            raise BundleError("checksum", f"card.json changed while the bundle was opened: sha256 is {found}, it was {sha256}")
        check_files(home / BUNDLE, card, self._limits.bundle)
        place = self._folder / card.name / card.version
        with room(self._folder):
            size = settle(home / BUNDLE)
            added = datetime.now(UTC).isoformat(timespec="milliseconds")
            entry = RegistryEntry(card.name, card.version, sha256, added, source, actor, size, report, place / BUNDLE)
            write_entry(home, entry)
            with self._lock:
                there = self._taken(card.name, card.version, sha256)
                if there is not None:
                    return there, False
                try:
                    arrive(home, place)
                except FileExistsError as error:
                    raise VersionTaken(
                        f"{place} is there already, and not as {card.name} {card.version} with an {ENTRY} that can be read; move it away"
                    ) from error
                self._entries[card.name, card.version] = entry
        log.info("%s %s is registered (%s, by %s)", card.name, card.version, source, actor)
        return entry, True

    def _taken(self, name: str, version: str, sha256: str) -> RegistryEntry | None:
        """The very bundle's entry where it is there already; raises VersionTaken where another has its name and version."""
        there = self._entries.get((name, version))
        if there is not None and there.sha256 != sha256:
            raise VersionTaken(f"{name}/{version} is taken by another bundle ({there.sha256[:12]}, this one is {sha256[:12]}); give this one a new version")
        return there

    @contextmanager
    def _work(self) -> Iterator[Path]:
        """A folder for one addition, on the registry's own disk."""
        with room(self._folder):
            scratch = Path(tempfile.mkdtemp(dir=self._scratch))
            try:
                yield scratch
            finally:
                discard(scratch)

    def _found(self) -> Iterator[tuple[Key, RegistryEntry]]:
        for home in sorted(self._folder.glob("*/*")):
            if home.parent == self._scratch:
                continue
            try:
                entry = read_entry(home)
            except (OSError, ValueError, KeyError, TypeError) as error:
                log.error("%s is left out of the registry: %s", home, error)
                continue
            yield (entry.name, entry.version), entry
