"""What a message of another maker's stream says, in our terms."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from numpy.typing import NDArray

Images = Mapping[str, NDArray[Any]]
"""Channel name -> the message's own array, shape (rows, columns)."""


@dataclass(frozen=True)
class Message:
    """A message that brings a frame.

    source : what the stream itself calls the instrument; each source has numbers of its own
    images : makes the arrays; called once, and may raise WireError
    number : the instrument's number of this frame; None where it counts nothing
    series : the instrument's name for a run of frames, in which numbers grow
    header : further keys of `atomstream.frame.v1`
    """

    source: str
    images: Callable[[], Images]
    number: int | None = None
    series: str | None = None
    header: Mapping[str, Any] = field(default_factory=dict)


class Translator(Protocol):
    """Reads one format. It may remember what earlier messages of its socket said."""

    name: str
    """The source of messages that name none."""

    def read(self, parts: Sequence[Any]) -> Message | None:
        """What a message says; None where it brings no frame and none was meant to be in it.

        Raises
        ------
        WireError
            where it does not follow the format.
        """
        ...
