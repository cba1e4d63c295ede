"""The packages that a format needs, which only some installations have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.util import find_spec

from atomstream_models.errors import ExtraMissing

from ..config import Format, FramesEndpoint

EXTRA = "streams"
_PACKAGES: Mapping[Format, str] = {"dectris-stream-v2": "lz4", "odin-live-view": "lz4", "karabo-bridge": "msgpack"}


def need_packages(endpoints: Iterable[FramesEndpoint]) -> None:
    """See that what these sockets' formats need is installed.

    Raises
    ------
    ExtraMissing
        naming the extra that brings it.
    """
    for one in endpoints:
        package = _PACKAGES.get(one.format)
        if package is not None and find_spec(package) is None:
            raise ExtraMissing(f"{package} (for frames of format {one.format})", EXTRA)
