"""Finding the bundle that a setting or a flag names."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path

from ._archive import unpack
from ._errors import BundleError
from ._open import check_has_card, is_bundle

_SHIPPED = Path(__file__).parents[1] / "ensembles"


def shipped_bundles() -> dict[str, Path]:
    """Name -> folder of the ensembles that come with Atomstream."""
    return {folder.name: folder for folder in sorted(_SHIPPED.iterdir()) if is_bundle(folder)}


def find_bundle(name: str, state: Path) -> Path:
    """The folder of the bundle that is called `name`: a shipped one's name, a folder, or a zip, which is unpacked under `state`.

    Raises
    ------
    BundleError
        where there is none, naming those that are shipped; where the zip is damaged; or where it or the folder has no card.
    """
    shipped = shipped_bundles()
    if name in shipped:
        return shipped[name]
    path = Path(name)
    if path.is_dir():
        check_has_card(path)
        return path.resolve()
    if path.is_file():
        return _unpacked(path, state / "bundles")
    raise BundleError("archive", f"there is no bundle {name!r}: neither a file, nor a folder, nor one of those shipped ({', '.join(shipped)})")


def _unpacked(archive: Path, into: Path) -> Path:
    with archive.open("rb") as file:
        folder = into / hashlib.file_digest(file, "sha256").hexdigest()
    if not folder.is_dir():
        into.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(dir=into))
        try:
            unpack(archive, unfinished)
            if not is_bundle(unfinished):
                raise BundleError("card", f"{archive} has no card.json, so it is not a bundle")
            unfinished.rename(folder)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
    return folder
