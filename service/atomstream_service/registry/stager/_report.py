"""What the stager found out about a bundle."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pydantic import TypeAdapter


class CheckName(StrEnum):
    """The checks in the order in which they are made; the first that fails is the last that is made."""

    ARCHIVE = "archive"
    """The zip can be unpacked within its limits and stays inside its folder."""
    CARD = "card"
    """card.json is one."""
    CHECKSUM = "checksum"
    """Every file that the card names is there, with its checksum."""
    IDENTITY = "identity"
    """Name and version are free, or the very same bundle has them."""
    MEMBER = "member"
    """The members' graphs are ONNX, of operators that are allowed, with the input and output that a member has."""
    GOLDEN = "golden"
    """There are two or more different golden frames."""
    LOAD = "load"
    """The members become sessions on the device that will run them."""
    SHAPES = "shapes"
    """Frames of two shapes give probabilities of the same shapes."""
    ACCEPTANCE = "acceptance"
    """The golden frames give what the bundle's maker got."""
    WARM_UP = "warm_up"
    """The members run at the sizes that the service will run them at."""


@dataclass(frozen=True)
class Check:
    """One check.

    passed : whether the bundle may go on
    detail : a sentence
    numbers : figures, each with its unit in its name
    seconds : how long it took
    """

    name: CheckName
    passed: bool
    detail: str
    numbers: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True)
class AcceptanceReport:
    """All that the stager has to say.

    checks : those that were made, in order
    seconds : from the stager's start to its end
    name, version, sha256 : of the bundle, as far as its card could be read
    device : `cpu` or `cuda`, what the sessions really ran on; None where none was made
    runtime : the runtime and its version; None where it was not loaded
    memory_bytes : resident memory that loading and warming added; None where it is not known
    memory_before_bytes, memory_after_bytes : resident memory of the stager before loading and after warming
    notes : what else is worth knowing: files left out, limits that this system does not have
    under_way : the check that has begun and not ended
    """

    checks: tuple[Check, ...] = ()
    seconds: float = 0.0
    name: str | None = None
    version: str | None = None
    sha256: str | None = None
    device: str | None = None
    runtime: str | None = None
    memory_bytes: int | None = None
    memory_before_bytes: int | None = None
    memory_after_bytes: int | None = None
    notes: tuple[str, ...] = ()
    under_way: CheckName | None = None

    @property
    def failed(self) -> Check | None:
        """The check that failed; None where none did."""
        return next((check for check in self.checks if not check.passed), None)

    @property
    def passed(self) -> bool:
        """Whether the bundle may be used."""
        return bool(self.checks) and self.failed is None and self.under_way is None

    def as_json(self) -> dict[str, Any]:
        """Plain values, with the verdict."""
        return {"passed": self.passed, **_ADAPTER.dump_python(self, mode="json")}

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> AcceptanceReport:
        """The report that `as_json` wrote.

        Raises
        ------
        pydantic.ValidationError
            a ValueError, for anything else.
        """
        return _ADAPTER.validate_python({key: value for key, value in data.items() if key != "passed"})


def finite(numbers: Mapping[str, float]) -> dict[str, float]:
    """The numbers that JSON can hold."""
    return {name: value for name, value in numbers.items() if math.isfinite(value)}


_ADAPTER = TypeAdapter(AcceptanceReport)
