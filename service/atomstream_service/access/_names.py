from __future__ import annotations

import re
from datetime import timedelta

from ..errors import AtomstreamError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_LIFETIME = re.compile(r"([1-9]\d{0,4})([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class BadName(AtomstreamError):
    """A name or a lifetime that can't be used."""


def checked_name(name: str) -> str:
    """The name of a token or key.

    Raises
    ------
    BadName
        where it could not stand in a file name, a journal or a log.
    """
    if not _NAME.fullmatch(name):
        raise BadName(f"{name!r} is no name for a key: letters, digits, and . _ @ - behind the first, 64 at most")
    return name


def lifetime(text: str) -> timedelta:
    """`90m`, `12h`, `30d` or `4w`.

    Raises
    ------
    BadName
        for anything else.
    """
    found = _LIFETIME.fullmatch(text)
    if found is None:
        raise BadName(f"{text!r} is no lifetime; write 90m, 12h, 30d or 4w")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})
