"""What the watch over a stream was shown and told, and what it said, frame by frame, as recordings hold it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ..drift_settings import DriftSettings, QuarantineSettings
from ..members import MemberState
from ._events import DriftEvent
from ._policy import QuarantineDecision
from ._scores import FrameScores
from ._state import ScanKey


@dataclass(frozen=True)
class WatchChange:
    """What somebody told a watch between two frames.

    number : counts up with every change
    acknowledged : the alarm that was released, None where settings were changed
    settings, quarantine : as they are from then on, None where an alarm was released
    """

    number: int
    acknowledged: str | None = None
    settings: DriftSettings | None = None
    quarantine: QuarantineSettings | None = None


@dataclass(frozen=True)
class Known:
    """All that a watch knew at some moment.

    watch : as `StreamWatch.as_json` tells it
    changes : number of the last change that it contains
    """

    watch: Mapping[str, Any]
    settings: DriftSettings
    quarantine: QuarantineSettings
    changes: int


@dataclass(frozen=True)
class Watched:
    """One frame as the watch over its stream saw it.

    run : which watch this was; another one (of another engine, of another ensemble) counts anew
    number : frames that it had been shown with this one; where it does not follow on the one before, frames are missing between them
    states : of all members, as the frame was answered
    changes : what the watch was told since the frame before
    events, decisions : what it said
    known : what it knew after the frame, now and then
    """

    run: str
    number: int
    scores: FrameScores
    scan: ScanKey
    states: Mapping[str, MemberState]
    changes: tuple[WatchChange, ...] = ()
    events: tuple[DriftEvent, ...] = ()
    decisions: tuple[QuarantineDecision, ...] = ()
    known: Known | None = None


_WATCHED = TypeAdapter(Watched)


def encode_watched(watched: Watched) -> bytes:
    """JSON, in which every number comes back as it was."""
    return _WATCHED.dump_json(watched)


def decode_watched(text: bytes) -> Watched:
    """What `encode_watched` wrote.

    Raises
    ------
    ValueError
        where it is something else.
    """
    try:
        return _WATCHED.validate_json(text)
    except ValidationError as error:
        raise ValueError(f"the watch over drift can't be read: {error}") from error
