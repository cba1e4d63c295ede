"""What the watch over drift has to say."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Cause = Literal["member", "scene", "instrument", "unattributed"]
"""member = one disagrees with the rest; scene = all have lost agreement; instrument = the frames themselves have changed;
unattributed = two members disagree, and nobody can tell which one is wrong."""

Kind = Literal["alarm", "over"]
"""alarm = raised, and latched until acknowledged; over = its condition has ended, the alarm stays latched."""


@dataclass(frozen=True)
class DriftEvent:
    """One change of an alarm.

    seq : the frame that brought it
    cause : what is blamed
    member : which one, where a member is
    signal : the score or statistic that raised the alarm
    message : the same in a sentence, with the figures
    """

    kind: Kind
    seq: int
    cause: Cause
    member: str | None
    signal: str
    message: str

    def as_json(self) -> dict[str, Any]:
        """The event in JSON's types."""
        return asdict(self)
