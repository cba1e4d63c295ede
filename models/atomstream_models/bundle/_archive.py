"""Bundles as zip files, with limits that are enforced while reading."""

from __future__ import annotations

import shutil
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ._errors import BundleError

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Limits:
    """What a bundle may be at most.

    entries : files and folders
    depth : folders in each other
    file_bytes, total_bytes : of one file, and in all
    card_bytes : of card.json
    ratio : bytes unpacked for one byte of the zip, once there are more than `free_bytes`
    """

    entries: int = 1024
    depth: int = 8
    file_bytes: int = 1 << 30
    total_bytes: int = 4 << 30
    card_bytes: int = 16 << 20
    ratio: int = 100
    free_bytes: int = 64 << 20


LIMITS = Limits()


def unpack(archive: Path, target: Path, limits: Limits = LIMITS) -> None:
    """Unpack a bundle's zip into the empty folder `target`.

    Sizes are counted while the data flows, whatever the zip says of itself.

    Raises
    ------
    BundleError
        for a damaged zip, a name that leaves the folder, a link, or more than the limits allow.
    """
    try:
        left = min(limits.total_bytes, max(limits.free_bytes, limits.ratio * archive.stat().st_size))
        with zipfile.ZipFile(archive) as bundle:
            entries = bundle.infolist()
            if len(entries) > limits.entries:
                raise BundleError("archive", f"{len(entries)} entries are more than the {limits.entries} allowed")
            _refuse_twins(entries)
            for entry in entries:
                path = _safe_path(entry, limits)
                if entry.is_dir():
                    (target / path).mkdir(parents=True, exist_ok=True)
                else:
                    left -= _extract(bundle, entry, target / path, min(left, limits.file_bytes))
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, NotImplementedError, RuntimeError, OSError, ValueError, zlib.error) as error:
        if isinstance(error, BundleError):
            raise
        raise BundleError("archive", f"{archive.name} can't be unpacked: {error}") from error


def copy_bundle(folder: Path, target: Path, limits: Limits = LIMITS) -> None:
    """Copy a bundle's folder into the empty folder `target`, under the limits that hold for a zip.

    Raises
    ------
    BundleError
        for a link, or more than the limits allow.
    """
    paths = sorted(folder.rglob("*"))
    if len(paths) > limits.entries:
        raise BundleError("archive", f"{len(paths)} files and folders are more than the {limits.entries} allowed")
    left = limits.total_bytes
    try:
        for path in paths:
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise BundleError("archive", f"{path} is neither a file nor a folder")
            if path.is_dir():
                (target / path.relative_to(folder)).mkdir()
                continue
            size = path.stat().st_size
            if size > min(left, limits.file_bytes):
                raise BundleError("archive", f"{path} has {size} bytes, more than the {min(left, limits.file_bytes)} allowed")
            left -= size
            shutil.copyfile(path, target / path.relative_to(folder))
    except OSError as error:
        raise BundleError("archive", f"{folder} can't be copied: {error}") from error


def pack(folder: Path, archive: Path) -> None:
    """Write a bundle's folder as a zip, the card first, the rest in order of name, stored as they are."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as bundle:
        for path in sorted(files, key=lambda path: path.name != "card.json"):
            bundle.write(path, path.relative_to(folder).as_posix())


def _refuse_twins(entries: list[zipfile.ZipInfo]) -> None:
    names = [entry.filename for entry in entries]
    if len(set(names)) != len(names):
        raise BundleError("archive", "an entry is there more than once")


def _safe_path(entry: zipfile.ZipInfo, limits: Limits) -> PurePosixPath:
    path = PurePosixPath(entry.filename)
    is_link = (entry.external_attr >> 16) & 0o170000 == 0o120000
    if path.is_absolute() or ".." in path.parts or not path.parts or "\\" in entry.filename or ":" in path.parts[0] or is_link:
        raise BundleError("archive", f"entry {entry.filename!r} does not stay inside the bundle")
    if len(path.parts) > limits.depth:
        raise BundleError("archive", f"entry {entry.filename[:80]!r} lies {len(path.parts)} folders deep, at most {limits.depth} are allowed")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise BundleError("archive", f"entry {entry.filename!r} is packed by method {entry.compress_type}; stored and deflated can be read")
    return path


def _extract(bundle: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, allowed: int) -> int:
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with bundle.open(entry) as source, target.open("xb") as sink:
        while chunk := source.read(_CHUNK):
            written += len(chunk)
            if written > allowed:
                raise BundleError("archive", f"entry {entry.filename!r} unpacks to more than the {allowed} bytes allowed")
            sink.write(chunk)
    return written
