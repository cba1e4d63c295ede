"""Files that commands write: what may be overwritten, and how."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from atomstream_models.bundle import is_bundle
from atomstream_models.errors import InputError

OVERWRITING = (
    "An output may replace a file of its own kind (.html for reports, .png for figures, .json for figures in numbers); any other file that is there, "
    "inputs and the files of bundles stay as they are."
)
"""The rule in words, for the help of a command."""


def check_output(file: Path, suffix: str, inputs: Sequence[Path] = ()) -> None:
    """Refuse, before any work, an output that would destroy something.

    file : where the output is to go; a pipe or a device may always be written to
    suffix : what this kind of output always has, such as `.html`: an older one may be replaced
    inputs : what the command reads; those that are no files are ignored

    Raises
    ------
    InputError
        for a folder that isn't there, an input, something inside a bundle's folder, or a file of another kind; naming it.
    """
    if not file.parent.is_dir():
        raise InputError(f"there is no folder {file.parent} to write {file.name} into")
    check_outside_bundles(file)
    target = file.resolve()
    if any(target == one.resolve() or (target.exists() and one.exists() and target.samefile(one)) for one in inputs):
        raise InputError(f"{file} is read by this command and would be overwritten: give another name")
    if target.is_dir():
        raise InputError(f"{file} is a folder: give the name of a file")
    if target.is_file() and target.suffix.lower() != suffix:
        raise InputError(f"{file} is there already and is no {suffix} file: it would be overwritten")


def check_apart(files: Sequence[Path]) -> None:
    """Refuse two outputs of the same name."""
    seen: set[Path] = set()
    for file in files:
        if (target := file.resolve()) in seen:
            raise InputError(f"{file} is to hold two outputs: give them different names")
        seen.add(target)


def check_outside_bundles(path: Path) -> None:
    """Refuse an output inside a bundle's folder."""
    for folder in path.resolve().parents:
        if is_bundle(folder):
            raise InputError(f"{path} lies in the bundle {folder}: a bundle holds nothing but what its card names")


@contextmanager
def whole(file: Path) -> Iterator[Path]:
    """A path to write to, which takes the place of `file` at the end; after an error what was there before is there still.

    Raises
    ------
    InputError
        where the system can't write, such as on a full disk; naming the file.
    """
    file = file.resolve()
    if file.exists() and not file.is_file():
        with naming(file):
            yield file
        return
    unfinished = file.with_name(f".{file.name}.unfinished")
    try:
        with naming(file):
            yield unfinished
            unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def naming(file: Path) -> Iterator[None]:
    """Name the file that could not be written, which errors of the system often don't.

    Raises
    ------
    InputError
        in place of the system's error.
    """
    try:
        yield
    except OSError as error:
        raise InputError(f"{file} can't be written: {error.strerror or error}") from error
