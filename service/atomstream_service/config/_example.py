"""A file of settings to begin with, made from the settings themselves."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ._tree import Config, FramesEndpoint

_WIDTH = 120
_HEAD = (
    "Settings of Atomstream: atomstream serve --config atomstream.toml",
    "Every setting stands here with its default. Take the # before a setting away to change it; those without a value are not set.",
)


def config_example() -> str:
    """The commented file of settings, as committed in `deploy/atomstream.toml`: every key with its meaning, range and default, none of them set."""
    lines = [*(f"# {one}" for one in _HEAD), ""]
    tables: list[str] = []
    for name, field in Config.model_fields.items():
        value = getattr(Config(), name)
        if name == "frames":
            tables += [*_told(field.description, "one such table for each"), "#[[frames]]", "", *_keys(FramesEndpoint())]
        elif isinstance(value, BaseModel):
            tables += [*_told(field.description), f"#[{name}]", "", *_keys(value)]
        else:
            lines += _key(Config, name, value)
    return "\n".join([*lines, *tables]).rstrip() + "\n"


def _keys(model: BaseModel) -> Iterator[str]:
    for name in type(model).model_fields:
        yield from _key(type(model), name, getattr(model, name))


def _key(model: type[BaseModel], name: str, value: Any) -> Iterator[str]:
    field: FieldInfo = model.model_fields[name]
    yield from _told(field.description, _range(model.model_json_schema()["properties"][name]))
    yield f"#{name} =" if value is None else f"#{name} = {_toml(model, name, value)}"
    yield ""


def _toml(model: type[BaseModel], name: str, value: Any) -> str:
    # What JSON writes for strings, numbers, truths and lists is TOML as well.
    plain = model.model_construct(**{name: value}).model_dump(mode="json", include={name})
    return json.dumps(plain[name], ensure_ascii=False)


def _range(schema: dict[str, Any]) -> str:
    """The range or the choices, in words."""
    kinds = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    found = kinds[0] if kinds else {}
    if "enum" in found:
        return "one of " + ", ".join(json.dumps(one) for one in found["enum"])
    parts = [f"{words} {found[key]:g}" if isinstance(found[key], float) else f"{words} {found[key]}" for key, words in _LIMITS.items() if key in found]
    return ", ".join(parts)


_LIMITS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "multipleOf": "a multiple of"}


def _told(description: str | None, more: str = "") -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(f"{description} ({more})" if more else str(description), _WIDTH)]
