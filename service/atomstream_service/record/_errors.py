from __future__ import annotations

import re

from ..errors import AtomstreamError

_SYSTEM = re.compile(r"error message = '([^']*)'")


class RecordingFailed(AtomstreamError):
    """A recording that can't be begun, or not go on; what was committed to its file stays readable."""


class RecordingRefused(AtomstreamError):
    """A recording that was asked for and can't be had; `code` is `bad_name`, `exists`, `unknown`, `busy`, `failed` or `nothing_to_write`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def in_words(error: BaseException) -> str:
    """What the system said when HDF5 could not write, without HDF5's own account of where."""
    found = _SYSTEM.search(str(error))
    return found[1] if found else str(error)
