"""Settings from a TOML file, `ATOMSTREAM_...` variables and flags, later ones over earlier ones."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from atomstream_models.errors import wrong_keys

from ..errors import AtomstreamError
from ._tree import Config

_PREFIX = "ATOMSTREAM_"


class ConfigError(AtomstreamError):
    """Settings that can't be used; the message names each key that is wrong."""


def load_config(file: Path | None = None, environment: Mapping[str, str] | None = None, flags: Mapping[str, Any] | None = None) -> Config:
    """The settings to run with.

    file : a TOML file
    environment : variables; `ATOMSTREAM_RESULTS` sets `results` and so on, structured values as JSON, and
        `ATOMSTREAM_FRAMES` may be a bare endpoint
    flags : from the command line; `frames` may be a bare endpoint, which replaces that of the first socket

    Raises
    ------
    ConfigError
        for a file that can't be read, an unknown key or a value out of range.
    """
    values = _from_file(file) if file else {}
    for source in (_from_environment(environment or {}), {key: value for key, value in (flags or {}).items() if value is not None}):
        given = dict(source)
        endpoint, known = given.get("frames"), values.get("frames") or [{}]
        if isinstance(endpoint, str) and isinstance(known, list):
            given["frames"] = [{**known[0], "endpoint": endpoint}, *known[1:]]
        values |= given
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        lines = wrong_keys(error, "settings")
        raise ConfigError("; ".join(lines)) from error


def _from_file(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{file} can't be read: {error}") from error


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    return {name[len(_PREFIX) :].lower(): _value(text) for name, text in environment.items() if name.startswith(_PREFIX)}


def _value(text: str) -> Any:
    if text[:1] in ("[", "{") or text in ("null", "true", "false"):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text
