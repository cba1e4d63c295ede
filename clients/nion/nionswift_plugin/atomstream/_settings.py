"""What a user may set, in a small file."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path

VARIABLE = "ATOMSTREAM_NION"
"""Environment variable that names the file, where it is not `atomstream-nion.toml` in the user's home folder."""


class BadSettings(ValueError):
    """The file can't be read, or says something that is no setting."""


@dataclass(frozen=True)
class Settings:
    """The keys of the file; without one, a service on this computer is meant.

    frames, results : where the service receives frames and publishes results
    scan_device : Nion's name of the scan device to send, such as `superscan`; None = every one there is
    curve : file of keys, where the service asks for them
    show : whether to show the atoms in Swift
    """

    frames: str = "tcp://127.0.0.1:5555"
    results: str = "tcp://127.0.0.1:5556"
    scan_device: str | None = None
    curve: str | None = None
    show: bool = True


def read_settings(file: Path | None = None) -> Settings:
    """The settings in a file; the defaults where it is not there.

    file : None = what `ATOMSTREAM_NION` names, else `atomstream-nion.toml` in the home folder

    Raises
    ------
    BadSettings
        naming the file and what is wrong with it.
    """
    named = os.environ.get(VARIABLE)
    path = file or (Path(named) if named else Path.home() / "atomstream-nion.toml")
    if not path.exists() and not named and file is None:
        return Settings()
    try:
        read = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadSettings(f"{path}: {error}") from error
    kinds = {one.name: bool if one.name == "show" else str for one in fields(Settings)}
    for key, value in read.items():
        if key not in kinds:
            raise BadSettings(f"{path}: {key!r} is none of {', '.join(kinds)}")
        if not isinstance(value, kinds[key]):
            raise BadSettings(f"{path}: {key} = {value!r} is not a {kinds[key].__name__}")
    return Settings(**read)
